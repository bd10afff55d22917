"""The report in a browser: sliders move pictures, nothing leaves the machine, phones fit."""

import base64
import io
import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

LONG = "long/" + "n" * 180
MARKUP = "<img src=x onerror=alert(1)>"


def address_of(run):
    return run.workspace.store.local(f"reports/run/{run.operator}/report.html").as_uri()


@pytest.fixture(scope="module")
def corpora(tmp_path_factory, pixels, softened, write_images):
    """Images of two shapes, some with keys that a page can stumble over."""
    keys = [LONG, MARKUP.replace("/", "_"), "plain/wide", "plain/tall", "é 日本"]
    sizes = [(24, 40), (32, 24), (24, 48), (48, 24), (24, 24)]
    natural = {
        f"{key}.png": pixels(number, *size)
        for number, (key, size) in enumerate(zip(keys, sizes, strict=True))
    }
    folder = tmp_path_factory.mktemp("browser")
    restored = {name: softened(image) for name, image in natural.items()}
    return {
        "restored": write_images(folder / "restored", restored),
        "reference": write_images(folder / "reference", natural),
    }


@pytest.fixture(scope="module")
def blended(tmp_path_factory, steps, corpora):
    """The address of a report with written alphas 0 and 0.5, interpolated between images."""
    run = steps(tmp_path_factory.mktemp("blended"), corpora, enhance={"alphas": [0, 0.5]})
    run.run()
    return address_of(run)


@pytest.fixture(scope="module")
def snapping(tmp_path_factory, steps, corpora):
    """The address of a report that interpolates the operator, so that nothing blends."""
    enhance = {"alphas": [0.5, 0], "interpolation": "latent"}
    run = steps(tmp_path_factory.mktemp("snapping"), corpora, enhance=enhance)
    run.run()
    return address_of(run)


@pytest.fixture
def viewer(view, blended):
    """The first viewer of the blending report."""
    return view(blended).find_element("css selector", ".viewer")


def part(viewer, selector):
    return viewer.find_element("css selector", selector)


def press(element, *keys):
    element.send_keys(*keys)


def shown(viewer):
    """The enhanced pictures and the input that are visible, with their opacity."""
    layers = viewer.parent.execute_script(
        "return [...arguments[0].querySelectorAll('figure[data-name]')].map(f => "
        "[f.dataset.name, getComputedStyle(f).visibility, getComputedStyle(f).opacity])",
        viewer,
    )
    return {name: float(opacity) for name, visible, opacity in layers if visible == "visible"}


def look(viewer):
    """The upper half of what the viewer shows, without the words over it."""
    box = part(viewer, ".stage").rect
    clip = {"x": box["x"] + 4, "y": box["y"] + 4, "scale": 1}
    clip |= {"width": box["width"] - 8, "height": box["height"] // 2}
    wanted = {"format": "png", "captureBeyondViewport": True, "clip": clip}
    shot = viewer.parent.execute_cdp_cmd("Page.captureScreenshot", wanted)
    with Image.open(io.BytesIO(base64.b64decode(shot["data"]))) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def test_the_alpha_slider_blends_the_pictures_on_both_sides_of_it(viewer):
    from selenium.webdriver.common.keys import Keys

    slider = part(viewer, ".alpha-slider")
    assert (slider.get_attribute("min"), slider.get_attribute("max")) == ("0.0", "1.0")
    assert shown(viewer) == {"alpha 0": 1}
    assert slider.get_attribute("aria-valuetext") == "alpha 0"
    press(slider, *[Keys.ARROW_RIGHT] * 20)
    assert shown(viewer) == {"alpha 0": 1, "alpha 0.5": pytest.approx(0.4)}
    assert slider.get_attribute("aria-valuetext") == "alpha 0.2, blended from 0 and 0.5"
    assert part(viewer, "output").text == "0.2, blended from 0 and 0.5"
    press(slider, Keys.END)
    assert shown(viewer) == {"input x*": 1}
    assert slider.get_attribute("aria-valuetext") == "alpha 1, the input"
    press(slider, Keys.HOME)
    assert shown(viewer) == {"alpha 0": 1}


def test_a_blend_is_linear_in_the_values_of_pixels(viewer):
    from selenium.webdriver.common.keys import Keys

    alpha, wipe = part(viewer, ".alpha-slider"), part(viewer, ".wipe-slider")
    press(wipe, Keys.HOME)
    full = look(viewer)
    press(alpha, *[Keys.ARROW_RIGHT] * 50)
    half = look(viewer)
    press(alpha, *[Keys.ARROW_LEFT] * 15)  # alpha 0.35
    assert np.abs(full - half).max() > 10
    wrong = np.abs(look(viewer) - (0.3 * full + 0.7 * half))
    assert wrong.max() <= 3  # the browser rounds to 8 bits twice, and opacity as well
    assert wrong.mean() < 1


def test_the_divider_uncovers_the_input_on_its_left(viewer):
    from selenium.webdriver.common.keys import Keys

    alpha, wipe = part(viewer, ".alpha-slider"), part(viewer, ".wipe-slider")
    before = part(viewer, ".before")
    assert before.value_of_css_property("clip-path") == "inset(0px 50% 0px 0px)"
    press(wipe, *[Keys.ARROW_RIGHT] * 5)
    assert before.value_of_css_property("clip-path") == "inset(0px 45% 0px 0px)"
    assert wipe.get_attribute("aria-valuetext") == "55 percent input x*"
    press(wipe, Keys.HOME)
    press(alpha, Keys.END)
    right = look(viewer)
    press(alpha, Keys.HOME)
    press(wipe, Keys.END)
    np.testing.assert_allclose(look(viewer), right, atol=3)  # x* on either side, but rounding


def test_the_left_side_can_be_the_reference(viewer):
    from selenium.webdriver.support.select import Select

    select = Select(part(viewer, "select"))
    assert [option.text for option in select.options] == ["input x*", "reference"]
    select.select_by_visible_text("reference")
    reference = part(viewer, "figure[data-side=reference] img").get_attribute("src")
    assert part(viewer, ".before img").get_attribute("src") == reference
    assert part(viewer, ".at-left").text == "reference"


def test_the_divider_follows_a_finger_in_the_picture(viewer):
    from selenium.webdriver import ActionChains

    stage = part(viewer, ".stage")
    right = stage.size["width"] // 4
    hand = ActionChains(viewer.parent).move_to_element(stage).click_and_hold()
    hand.move_by_offset(right, 0).release().perform()
    assert int(part(viewer, ".wipe-slider").get_attribute("value")) == pytest.approx(75, abs=2)


def test_all_sliders_move_together_if_wanted(view, blended):
    from selenium.webdriver.common.keys import Keys

    page = view(blended)
    first, *others = page.find_elements("css selector", ".viewer")
    press(part(first, ".alpha-slider"), Keys.END)
    assert {part(o, ".alpha-slider").get_attribute("value") for o in others} == {"0"}
    page.find_element("id", "together").click()
    press(part(first, ".alpha-slider"), Keys.ARROW_LEFT)
    assert {part(o, ".alpha-slider").get_attribute("value") for o in others} == {"0.99"}


def test_latent_interpolation_snaps_to_the_written_alphas(view, snapping):
    from selenium.webdriver.common.keys import Keys

    first = view(snapping).find_element("css selector", ".viewer")
    slider = part(first, ".alpha-slider")
    seen = [slider.get_attribute("aria-valuetext")]
    for _ in range(3):
        assert list(shown(first).values()) == [1]
        press(slider, Keys.ARROW_RIGHT)
        seen.append(slider.get_attribute("aria-valuetext"))
    assert seen == ["alpha 0", "alpha 0.5", "alpha 1, the input", "alpha 1, the input"]


def test_everything_that_can_be_moved_is_reached_by_the_tab_key_and_outlined(view, blended):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    page, reached = view(blended), set()
    wanted = {"alpha-slider", "wipe-slider", "select", "together", "a", "summary"}
    for _ in range(60):
        ActionChains(page).send_keys(Keys.TAB).perform()
        focused = page.switch_to.active_element
        name = focused.get_attribute("class") or focused.get_attribute("id") or focused.tag_name
        reached.add(name)
        assert focused.value_of_css_property("outline-style") == "solid", name
        if wanted <= reached:
            break
    assert wanted <= reached


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_no_wider_than_its_window(view, blended, width):
    page = view(blended, width)
    page.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    root = "document.documentElement"
    assert page.execute_script(f"return [{root}.scrollWidth, innerWidth]") == [width, width]


def test_changes_stand_below_each_other_whether_a_word_follows_or_not(view, blended):
    ends = view(blended, 1400).execute_script(
        "return [...document.querySelectorAll('.changes td')].filter(cell => "
        "cell.querySelector('small')).map(cell => cell.getBoundingClientRect().right - "
        "cell.querySelector('small').getBoundingClientRect().right)"
    )
    assert len(ends) > 3
    assert max(ends) - min(ends) < 1  # pixel


def test_a_dark_screen_gets_a_dark_page(view, blended):
    def lightness(dark):
        body = view(blended, dark=dark).find_element("tag name", "body")
        colours = [body.value_of_css_property(p) for p in ("background-color", "color")]
        return [
            sum(int(c) for c in colour[colour.index("(") + 1 : -1].split(",")[:3])
            for colour in colours
        ]

    paper, ink = lightness(dark=False)
    dark_paper, dark_ink = lightness(dark=True)
    assert paper - ink > 500
    assert dark_ink - dark_paper > 500


def test_every_picture_has_words_and_every_slider_a_name(view, blended):
    page = view(blended)
    images = page.find_elements("tag name", "img")
    assert len(images) > 20
    assert all(image.get_attribute("alt").strip() for image in images)
    sliders = page.find_elements("css selector", "input, select")
    names = [slider.accessible_name for slider in sliders]
    assert all(names)
    assert len(set(names)) == len(names)


def test_headings_go_down_one_level_at_a_time(view, blended):
    page = view(blended)
    levels = page.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_links_lead_to_places_of_the_page(view, blended):
    page = view(blended)
    targets = page.execute_script(
        "return [...document.querySelectorAll('a')].map(a => [a.getAttribute('href'), "
        "document.querySelectorAll(a.getAttribute('href')).length])"
    )
    assert len(targets) > 10
    assert all(href.startswith("#") and count == 1 for href, count in targets)


def test_without_scripts_every_picture_is_there(view, blended):
    page = view(blended, scripts=False)
    boxes = page.execute_script(
        "return [...document.querySelectorAll('.stage img')].map(i => "
        "[i.getBoundingClientRect().width, getComputedStyle(i).visibility])"
    )
    assert len(boxes) == 5 * 4
    assert all(width > 15 and visible == "visible" for width, visible in boxes)
    assert not page.find_element("css selector", ".controls").is_displayed()


def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(chromium, view, blended, snapping):
    from selenium.webdriver.common.keys import Keys

    chromium.get("about:blank")
    chromium.get_log("performance")  # of the browser's own first page
    chromium.get_log("browser")
    for address in (blended, snapping):
        page = view(address)
        press(page.find_element("css selector", ".alpha-slider"), Keys.END, Keys.HOME)
        messages = [json.loads(e["message"])["message"] for e in page.get_log("performance")]
        requests = [m for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert requests
        for message in requests:
            assert message["params"]["request"]["url"].startswith(("file:", "data:"))
        assert page.get_log("browser") == []


def test_a_script_that_finds_its_way_into_the_page_is_not_run(view, blended):
    page = view(blended)
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.taken = 1';"
        "document.body.append(s)"
    )
    assert page.execute_script("return window.taken") is None
    assert "Content Security Policy" in page.get_log("browser")[0]["message"]


def drawn_width(image):
    """How wide an image is on the screen, however it is transformed."""
    return image.parent.execute_script("return arguments[0].getBoundingClientRect().width", image)


def test_a_click_opens_the_whole_image_which_can_be_zoomed_and_changed(viewer):
    from selenium.webdriver import ActionChains

    page, dialog = viewer.parent, viewer.parent.find_element("css selector", "dialog.zoom")
    ActionChains(page).click(part(viewer, ".stage")).perform()
    assert dialog.is_displayed()
    assert part(viewer, ".wipe-slider").get_attribute("value") == "50"  # a click moves nothing
    image = part(dialog, ".pane img")
    enhanced = part(viewer, "figure[data-side=enhanced] img").get_attribute("src")
    assert image.get_attribute("src") == enhanced
    page.execute_async_script(
        "const done = arguments[1]; arguments[0].decode().then(() => requestAnimationFrame(done))",
        image,
    )
    width = drawn_width(image)
    part(dialog, "button[data-zoom='1.25']").click()
    assert drawn_width(image) == pytest.approx(1.25 * width, rel=0.01)
    dialog.find_elements("css selector", ".versions button")[-1].click()
    reference = part(viewer, "figure[data-side=reference] img").get_attribute("src")
    assert image.get_attribute("src") == reference
    assert drawn_width(image) == pytest.approx(1.25 * width, rel=0.01)
    part(dialog, ".close").click()
    assert not dialog.is_displayed()
    assert page.get_log("browser") == []


def test_the_metrics_of_a_picture_are_those_at_the_alpha_shown(viewer):
    from selenium.webdriver.common.keys import Keys

    slider, values = part(viewer, ".alpha-slider"), part(viewer, ".shown-values")
    assert values.text.startswith("PSNR ")
    first = values.text
    press(slider, Keys.ARROW_RIGHT)
    assert not values.is_displayed()  # a blend has not been measured
    press(slider, Keys.END)
    assert values.text.startswith("PSNR ")
    assert values.text != first


def test_a_picture_is_shown_pixel_for_pixel_or_a_whole_number_of_times(viewer):
    stage, image = part(viewer, ".stage"), part(viewer, "figure[data-side=enhanced] img")
    times = stage.size["width"] / int(image.get_attribute("width"))
    assert times == pytest.approx(round(times), abs=0.02)
