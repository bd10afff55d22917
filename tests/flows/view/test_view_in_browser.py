"""The page in a browser: all by keyboard, nothing tells which side is which, phones fit."""

import json
import threading
import time
from itertools import pairwise

import pytest
import uvicorn

from flows.view.app import application
from flows.view.server import listening
from tasks.view.viewed import Viewed
from tasks.view.votes import Votes

LONG = "long/" + "n" * 180
MARKUP = "<img src=x onerror=alert(1)>"
WAIT_S = 10
READY = "document.querySelector('main')?.ariaBusy == 'false'"


@pytest.fixture(scope="module")
def run(tmp_path_factory, steps, pixels, softened, write_images):
    """A finished run with keys that a page can stumble over."""
    keys = [LONG, MARKUP.replace("/", "_"), "plain/wide", "plain/tall", "é 日本", "z"]
    natural = {f"{key}.png": pixels(number, 24, 32) for number, key in enumerate(keys)}
    folder = tmp_path_factory.mktemp("looked-at")
    restored = {name: softened(image) for name, image in natural.items()}
    corpora = {
        "restored": write_images(folder / "restored", restored),
        "reference": write_images(folder / "reference", natural),
    }
    run = steps(folder / "workspace", corpora)
    run.run()
    return run


@pytest.fixture(scope="module")
def address(run):
    """Where the page is served, by a thread of this process."""
    with listening(0) as listener:
        app = application(Viewed.of(run.config), "token")
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/token/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def page(view, address):
    """Opens a view of the page, and gives the browser when it has loaded."""

    def open_view(place="#browse", width=1400, **options):
        browser = view("about:blank", width, **options)
        browser.get(f"{address}{place}")
        until(browser, READY)
        return browser

    return open_view


@pytest.fixture
def votes(run):
    return Votes(run.workspace.store, "run", run.operator)


def until(browser, condition):
    """Wait until something holds in the page."""
    deadline = time.monotonic() + WAIT_S
    while not browser.execute_script(f"return !!({condition})"):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def all_of(browser, selector):
    return browser.find_elements("css selector", selector)


def one(browser, selector):
    return browser.find_element("css selector", selector)


def keys_shown(browser):
    return [element.text for element in all_of(browser, "tbody th bdi")]


def type_in(browser, *keys):
    browser.switch_to.active_element.send_keys(*keys)


def heading(browser, title):
    return next(b for b in all_of(browser, "thead button") if b.text.startswith(title))


def column(browser, title):
    cells = all_of(browser, f'tbody td[data-title="{title}"]')
    return [float(c.text.split()[0].replace("−", "-").replace("∞", "inf")) for c in cells]


def test_any_column_sorts_by_its_heading_and_back_again(page):
    browser = page()
    whole = keys_shown(browser)
    assert len(whole) == 6
    heading(browser, "PSNR").click()
    until(browser, "document.querySelector('thead [aria-sort=ascending]')")
    values = column(browser, "PSNR")
    assert values == sorted(values)
    heading(browser, "PSNR").click()
    until(browser, "document.querySelector('thead [aria-sort=descending]')")
    assert column(browser, "PSNR") == values[::-1]
    browser.back()
    browser.back()
    until(browser, f"{READY} && !document.querySelector('thead [aria-sort$=scending]')")
    assert keys_shown(browser) == whole


def test_changes_are_against_the_version_that_is_chosen(page):
    browser = page("#browse?at=%2B0.50&against=%2B0.00")
    values = column(browser, "change of PSNR")
    assert len(values) == 6
    other = page("#browse?at=%2B0.00&against=%2B0.50")
    assert column(other, "change of PSNR") == [-value for value in values]


def test_filters_by_number_and_by_letters_come_and_go(page):
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    browser = page()
    limit = sorted(column(browser, "PSNR"))[2] + 0.005
    one(browser, "#filter-least").send_keys(str(limit), Keys.ENTER)
    until(browser, "document.querySelectorAll('tbody tr').length == 3")
    assert one(browser, ".chip").text.startswith("PSNR at least")
    Select(one(browser, "#filter-column")).select_by_value("key")
    one(browser, "#filter-text").send_keys("no such letters", Keys.ENTER)
    until(browser, "document.querySelectorAll('.chip').length == 2")
    until(browser, "document.querySelector('[role=status]').textContent == 'no image is like that'")
    all_of(browser, ".chip")[1].click()
    until(browser, "document.querySelectorAll('tbody tr').length == 3")


def test_a_bound_that_is_no_number_is_told_and_filters_nothing(page):
    from selenium.webdriver.common.keys import Keys

    browser = page()
    field = one(browser, "#filter-least")
    field.send_keys("27 dB", Keys.ENTER)
    assert "a number" in field.get_property("validationMessage")
    assert all_of(browser, ".chip") == []
    field.send_keys(Keys.BACKSPACE * 3, Keys.ENTER)
    until(browser, "document.querySelector('.chip')")
    assert one(browser, ".chip").text.startswith("PSNR at least 27")


@pytest.mark.parametrize("place", ["#browse?start=1000", '#browse?where=[null,7,{"most":2}]'])
def test_an_address_that_is_out_of_date_shows_what_there_is(page, place):
    browser = page(place)
    until(browser, "document.querySelectorAll('tbody tr').length == 6")
    assert one(browser, "[role=status]").text == "1 to 6 of 6 images"
    assert not one(browser, "#error").is_displayed()


def test_a_difference_to_the_input_has_no_change_of_its_own(page):
    browser = page()
    assert len(column(browser, "IndRMSE")) == 6
    assert all_of(browser, 'td[data-title="change of IndRMSE"]') == []
    heading(browser, "IndRMSE").click()
    until(browser, "document.querySelector('thead [aria-sort=ascending]')")
    one(browser, "tbody a").click()
    until(browser, "document.querySelector('.pane')")
    assert "IndRMSE" in one(browser, "table").text


def test_names_are_text_and_nothing_else(page):
    browser = page()
    assert {LONG, MARKUP.replace("/", "_"), "é 日本"} <= set(keys_shown(browser))
    assert all_of(browser, "main img:not(.thumb)") == []
    one(browser, f"tbody tr:nth-child({keys_shown(browser).index(MARKUP) + 1}) a").click()
    until(browser, "document.querySelectorAll('.pane img').length == 2")
    assert one(browser, "h2").text == MARKUP


def pixels_of(browser, layer):
    """A few numbers of the picture of a layer, as the browser decoded it."""
    return browser.execute_script(
        "const i = document.querySelector(arguments[0] + ' img');"
        "const c = new OffscreenCanvas(32, 24).getContext('2d'); c.drawImage(i, 0, 0);"
        "return [...c.getImageData(0, 0, 32, 24).data.slice(0, 400)]",
        layer,
    )


def shown_right(browser, label):
    until(browser, f"document.querySelector('.right img')?.alt.endsWith({json.dumps(label)})")
    return pixels_of(browser, ".right")


def test_the_alpha_slider_shows_the_alphas_that_were_written(page):
    from selenium.webdriver.common.keys import Keys

    browser = page("#image?place=3")
    full = shown_right(browser, "alpha 0")
    slider = one(browser, "#alpha")
    assert (slider.get_attribute("min"), slider.get_attribute("max")) == ("0", "2")
    slider.send_keys(Keys.ARROW_RIGHT)
    half = shown_right(browser, "alpha 0.5")
    assert slider.get_attribute("aria-valuetext") == "alpha 0.5"
    type_in(browser, ".")
    none = shown_right(browser, "alpha 1")
    assert none == pixels_of(browser, ".left")  # which is the input
    assert len({tuple(full), tuple(half), tuple(none)}) == 3
    assert one(browser, "tbody tr[aria-current]").text.startswith("alpha 1")
    browser.refresh()
    assert shown_right(browser, "alpha 1") == none


def test_the_left_side_can_be_the_reference(page):
    from selenium.webdriver.support.select import Select

    browser = page("#image?place=3")
    Select(one(browser, "#left")).select_by_visible_text("reference")
    until(browser, "document.querySelector('.left img')?.alt.endsWith('reference')")
    assert pixels_of(browser, ".left") != shown_right(browser, "alpha 0")
    assert one(browser, ".tag.at-left").text == "reference"


def test_the_divider_moves_by_keys_and_by_dragging(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = page("#image?place=0")
    layer = one(browser, ".layer.left")
    assert layer.value_of_css_property("clip-path") == "inset(0px 50% 0px 0px)"
    one(browser, "#wipe").send_keys(*[Keys.ARROW_RIGHT] * 5)
    assert layer.value_of_css_property("clip-path") == "inset(0px 45% 0px 0px)"
    quarter = one(browser, ".pane").size["width"] // 4
    divider = one(browser, ".divider")
    ActionChains(browser).click_and_hold(divider).move_by_offset(-quarter, 0).release().perform()
    assert float(one(browser, "#wipe").get_attribute("value")) == pytest.approx(30, abs=1)


def transform(browser):
    """Scale and place of the pictures, which must be the same in all layers and panes."""
    found = browser.execute_script(
        "return [...document.querySelectorAll('.pane img')].map((i) => {"
        "const m = new DOMMatrix(getComputedStyle(i).transform); return [m.a, m.e, m.f] })"
    )
    assert len(found) == 2
    assert found[0] == found[1]
    return found[0]


def test_pictures_are_enlarged_and_moved_together(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = page("#image?place=0")
    shown_right(browser, "alpha 0")
    until(browser, "document.querySelectorAll('.pane img').length == 2")
    scale, x, y = transform(browser)
    assert scale == int(scale)  # pixels of a small picture stay square
    pane = one(browser, ".pane")
    pane.send_keys("+")
    assert transform(browser)[0] == pytest.approx(scale * 1.25)
    pane.send_keys("1")
    assert transform(browser) == [scale, x, y]
    keys = ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT)
    keys.key_up(Keys.SHIFT).perform()
    assert transform(browser) == [scale, x + 48, y]
    ActionChains(browser).drag_and_drop_by_offset(one(browser, ".tag.at-left"), 30, -20).perform()
    assert transform(browser) == [scale, x + 78, y - 20]
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: arguments[1]}))"
    for part in (-5, -20, -75):  # of a trackpad, which sends many small parts
        browser.execute_script(wheel, pane, part)
    whole = transform(browser)[0]
    browser.execute_script(wheel, pane, 100)
    assert transform(browser)[0] == pytest.approx(scale)
    assert 1.1 * scale < whole < 1.2 * scale
    pane.send_keys("0")
    size = pane.size
    assert transform(browser)[0] == pytest.approx(
        min((size["width"] - 2) / 32, (size["height"] - 2) / 24), rel=1e-3
    )


def test_keys_lead_through_the_images_of_the_list(page):
    from selenium.webdriver.common.keys import Keys

    browser = page("#browse?sort=psnr&order=down")
    order = keys_shown(browser)
    one(browser, "tbody a").send_keys(Keys.ENTER)
    for key in order:
        until(browser, f"document.querySelector('h2')?.textContent == {json.dumps(key)}")
        type_in(browser, "j")
    type_in(browser, "k")
    until(browser, f"document.querySelector('h2')?.textContent == {json.dumps(order[-2])}")
    type_in(browser, Keys.ESCAPE)
    until(browser, f"{READY} && document.querySelector('thead [aria-sort=descending]')")
    assert keys_shown(browser) == order


def compare(page, *names, **options):
    """The voting view, in which these versions are compared."""
    browser = page("#vote", **options)
    browser.execute_script(
        "localStorage.setItem('versions', arguments[0]);"
        "localStorage.setItem('voter', arguments[1]); location.reload()",
        ",".join(names),
        f"Ada {time.monotonic_ns()}",
    )
    until(browser, "document.querySelectorAll('.duel img').length == 2")
    until(browser, "!document.querySelector('.answers button').disabled")
    return browser


def test_votes_are_cast_by_keys_and_told(page, votes):
    from selenium.webdriver.common.keys import Keys

    before = len(votes.all())
    browser = compare(page, "+0.00", "input")
    for number, key in enumerate((Keys.ARROW_LEFT, Keys.ARROW_DOWN, Keys.ARROW_RIGHT), start=1):
        type_in(browser, key)
        until(
            browser,
            f"document.querySelector('[role=status]').textContent.includes('cast {number} ')",
        )
        until(browser, "!document.querySelector('.answers button').disabled")
    cast = votes.all()[before:]
    assert [vote.choice for vote in cast] == ["left", "same", "right"]
    assert {vote.left for vote in cast} | {vote.right for vote in cast} == {"+0.00", "input"}
    assert all(0 < vote.seconds < WAIT_S for vote in cast)
    browser = page("#result")
    assert "alpha 0 : input x*" in one(browser, "table").text
    assert "95 %" in one(browser, "main").text


def test_nothing_in_the_page_tells_which_side_is_which(page, votes):
    browser = compare(page, "+0.00", "reference")
    duel = one(browser, ".duel").get_attribute("outerHTML")
    assert not any(word in duel for word in ("alpha", "0.00", "reference", "input"))
    assert all_of(browser, "details[open]") == []
    sources = [image.get_attribute("src") for image in all_of(browser, ".duel img")]
    assert all(source.startswith("blob:") for source in sources)


def test_a_vote_that_could_not_be_sent_is_sent_again_and_counts_once(page, votes):
    browser = compare(page, "+0.50", "input")
    before = len(votes.all())
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    try:
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", {**network, "offline": True})
        all_of(browser, ".answers button")[0].click()
        until(browser, "!document.getElementById('error').hidden")
        assert (
            "the vote is not stored yet: the server gives no answer" in one(browser, "#error").text
        )
        assert len(votes.all()) == before
    finally:
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", {**network, "offline": False})
    all_of(browser, ".answers button")[0].click()
    until(browser, "document.getElementById('error').hidden")
    until(browser, "document.querySelector('[role=status]').textContent.includes('cast 1 ')")
    assert len(votes.all()) == before + 1


@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize(
    "place", ["#browse", "#browse?as=pictures", "#image?place=0", "#vote", "#result"]
)
def test_every_view_fits_the_window_and_nothing_goes_wrong(chromium, page, address, place, width):
    chromium.get("about:blank")
    chromium.get_log("performance")
    chromium.get_log("browser")
    browser = page(place, width, dark=width == 768)
    until(browser, "document.querySelector('main').children.length > 0")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    assert [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []
    events = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert all(
        url.startswith((address, f"blob:{address[:16]}", "data:", "about:")) for url in asked
    )


def contrast(browser, selector):
    """The ratio of the luminances of an element's text and of what is behind it (WCAG 2.1)."""
    colours = browser.execute_script(
        "let e = document.querySelector(arguments[0]); const ink = getComputedStyle(e).color;"
        "while (getComputedStyle(e).backgroundColor == 'rgba(0, 0, 0, 0)') e = e.parentElement;"
        "const paper = getComputedStyle(e).backgroundColor;"
        "return [ink, paper].map((c) => c.match(/[0-9.]+/g).map(Number))",
        selector,
    )

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light = sorted(luminance([c / 255 for c in colour[:3]]) for colour in colours)
    return (light[1] + 0.05) / (light[0] + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out(page, dark):
    browser = page(dark=dark)
    for selector in (".quiet", "nav a", "nav a[aria-current]", "tbody a", "thead button", "button"):
        assert contrast(browser, selector) >= 4.5


def test_headings_do_not_skip_and_controls_have_names(page):
    for place in ("#browse", "#image?place=0", "#vote", "#result"):
        browser = page(place)
        levels = [int(e.tag_name[1]) for e in all_of(browser, "h1, h2, h3")]
        assert all(b - a <= 1 for a, b in pairwise(levels))
        for control in all_of(browser, "button, select, input, a, [tabindex='0']"):
            if control.is_displayed():
                assert control.accessible_name, control.get_attribute("outerHTML")
