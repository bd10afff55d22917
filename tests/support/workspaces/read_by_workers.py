"""A data set of torch's whose workers, started in any way, read a finished run."""

from torch.utils.data import IterableDataset, get_worker_info


class Enhanced(IterableDataset):
    """Key and pixels of the images of a run at an alpha."""

    def __init__(self, run, alpha):
        self.run, self.alpha = run, alpha

    def __iter__(self):
        worker = get_worker_info()
        shards = self.run.shards[worker.id :: worker.num_workers]
        for picture in self.run.images(self.alpha, shards):
            yield picture.key, picture.pixels
