"""Sets in files: the formats, on tiny files made here; downloads from a server that behaves badly."""

import gzip
import hashlib
import io
import pickle
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

import trigrad as tg
from trigrad.data import download as fetching
from trigrad.data import folder
from trigrad.utils.data import (
    CIFAR10,
    CIFAR100,
    MNIST,
    ChainDataset,
    DataLoader,
    DatasetFolder,
    FakeData,
    FashionMNIST,
    ImageFolder,
    IterableDataset,
    StackDataset,
    transforms,
)


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def digits(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)


def write_mnist(root, kind="MNIST", n=5, pack=True):
    raw = root / kind / "raw"
    raw.mkdir(parents=True)
    images, labels = digits(n)
    for part in ("train", "t10k"):
        for name, content in ((f"{part}-images-idx3-ubyte", idx(images)), (f"{part}-labels-idx1-ubyte", idx(labels))):
            if pack:
                (raw / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (raw / name).write_bytes(content)
    return images, labels


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_mnist(kind, pack, tmp_path):
    images, labels = write_mnist(tmp_path, kind.__name__, pack=pack)
    for train in (True, False):
        data = kind(tmp_path, train)
        assert len(data) == 5 and data.targets.tolist() == labels.tolist() and len(data.classes) == 10
        np.testing.assert_array_equal(data.data.numpy(), images)
        image, label = data[3]
        assert type(image) is np.ndarray and type(label) is int and label == labels[3]
        np.testing.assert_array_equal(image, images[3])
    x, y = next(iter(DataLoader(data, 2)))
    assert x.shape == (2, 28, 28) and x.dtype is tg.uint8 and y.dtype is tg.int64
    data = kind(str(tmp_path), transform=transforms.ToTensor(), target_transform=str)
    for workers in (0, 2):
        x, y = next(iter(DataLoader(data, 2, num_workers=workers)))
        assert x.shape == (2, 1, 28, 28) and x.dtype is tg.float32 and list(y) == [str(n) for n in labels[:2]]
        np.testing.assert_allclose(x.numpy()[:, 0], images[:2] / np.float32(255))
    assert data.class_to_idx[data.classes[4]] == 4 and "5 images" in repr(data)
    with pytest.raises(IndexError):
        data[5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\0\0\x09\x03" + b"\0" * 12, "no IDX file"),
        (idx(np.zeros((5, 28, 27), np.uint8)), r"expected the shape \(N, 28, 28\), got \(5, 28, 27\)"),
        (idx(np.zeros((5, 28, 28), np.uint8))[:-1], "expected 3920 values, got 3919"),
        (idx(np.zeros((4, 28, 28), np.uint8)), r"labels-idx1-ubyte: expected the shape \(4\), got \(5,\)"),
    ],
)
def test_bad_idx_files(content, message, tmp_path):
    write_mnist(tmp_path, pack=False)
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(RuntimeError, match=message):
        MNIST(tmp_path)


def photographs(n, classes, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3, 32, 32), np.uint8), rng.integers(0, classes, n, np.uint8)


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
@pytest.mark.parametrize("pickled", [False, True])
def test_cifar(kind, pickled, tmp_path):
    home = tmp_path / kind.folders[pickled]
    home.mkdir()
    expected = {}
    for train, names in ((True, kind.train_files[pickled]), (False, kind.test_files[pickled])):
        parts = []
        for k, name in enumerate(names):
            planes, labels = photographs(3, len(kind.classes), k + 10 * train)
            parts.append((planes, labels))
            if pickled:
                batch = {b"data": planes.reshape(3, -1), kind.key: labels.tolist()}
                (home / name).write_bytes(pickle.dumps(batch))
            else:
                lead = [labels[:, None]] if kind is CIFAR10 else [labels[:, None] % 20, labels[:, None]]
                (home / name).write_bytes(np.hstack([*lead, planes.reshape(3, -1)]).tobytes())
        expected[train] = np.concatenate([p for p, _ in parts]), np.concatenate([n for _, n in parts])
    for train, (planes, labels) in expected.items():
        data = kind(tmp_path, train=train)
        assert data.targets == labels.tolist() and len(data) == len(labels) == (15 if train and kind is CIFAR10 else 3)
        assert data.data.shape[1:] == (32, 32, 3) and data[1][0].shape == (32, 32, 3)
        found = kind(tmp_path, train=train, transform=transforms.ToTensor())[2][0]
        np.testing.assert_allclose(found.numpy(), planes[2] / np.float32(255))
    (home / kind.test_files[pickled][0]).write_bytes(b"short")
    with pytest.raises(RuntimeError, match="is no batch of" if pickled else "3073|3074"):
        kind(tmp_path, train=False)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_pickles_are_not_executed(tmp_path, capsys):
    home = tmp_path / "cifar-10-batches-py"
    home.mkdir()
    (home / "test_batch").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))
    with pytest.raises(RuntimeError, match="asks for builtins.print"):
        CIFAR10(tmp_path, train=False)
    assert not capsys.readouterr().out


def test_missing_files(tmp_path):
    for kind in (MNIST, FashionMNIST, CIFAR10, CIFAR100):
        with pytest.raises(RuntimeError, match=f"{kind.__name__}: there is no .*download=True"):
            kind(tmp_path)
    with pytest.raises(TypeError, match="train to be a bool"):
        MNIST(tmp_path, "train")


# Downloads


class Server(HTTPServer):
    """Serves ``files``; the first answer breaks off after ``cut`` bytes."""

    def __init__(self, files):
        self.files, self.cut, self.asked, self.ranges = files, None, [], True
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}/"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def end(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content, server = self.server.files.get(self.path[1:]), self.server
        server.asked.append((self.path[1:], self.headers.get("Range")))
        if content is None:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut, server.cut = server.cut, None
        self.wfile.write(content[start:cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def begin(**files):
        servers.append(Server({name.replace("__", "."): content for name, content in files.items()}))
        return servers[-1]

    yield begin
    for server in servers:
        server.end()


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.mark.parametrize("ranges", [False, True])
def test_a_download_goes_on_where_it_broke_off(ranges, serve, tmp_path):
    content = bytes(range(256)) * 40
    server = serve(file=content)
    server.cut, server.ranges = 3000, ranges
    path = tmp_path / "sets" / "file"
    with pytest.raises(RuntimeError, match="broke off after 3000 bytes.*by hand"):
        fetching.download([server.address + "file"], path, md5(content))
    assert not path.exists()
    fetching.download([server.address + "file"], path, md5(content))
    assert path.read_bytes() == content and server.asked[-1] == ("file", "bytes=3000-")
    asked = len(server.asked)
    fetching.download([server.address + "file"], path, md5(content))  # it is there
    assert len(server.asked) == asked and [p.name for p in path.parent.iterdir()] == ["file"]


def test_damage_and_mirrors(serve, tmp_path):
    content, path = b"right" * 100, tmp_path / "file"
    server = serve(file=content, bad=b"wrong")
    with pytest.raises(RuntimeError, match="has the checksum .*, expected"):
        fetching.download([server.address + "bad"], path, md5(content))
    assert not list(tmp_path.iterdir())
    urls = [server.address + name for name in ("absent", "bad", "file")]
    fetching.download(urls, path, md5(content))
    assert path.read_bytes() == content
    for rest in (b"wrong" * 10, content + b"more"):  # a beginning that does not belong to it
        path.unlink()
        (tmp_path / "file.part").write_bytes(rest)
        fetching.download(urls[2:], path, md5(content))
        assert path.read_bytes() == content and [p.name for p in tmp_path.iterdir()] == ["file"]
    path.unlink()
    server.end()
    with pytest.raises(RuntimeError, match="could not be fetched .*refused.*by hand"):
        fetching.download(urls[2:], path, md5(content))
    server.thread = threading.Thread()
    server.thread.start()
    server.shutdown = server.server_close = lambda: None


def test_mnist_is_fetched(serve, tmp_path, monkeypatch):
    write_mnist(tmp_path / "there")
    files = {p.name: p.read_bytes() for p in (tmp_path / "there/MNIST/raw").iterdir()}
    server = serve(**{name.replace(".", "__"): content for name, content in files.items()})
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:1/", server.address])
    monkeypatch.setattr(MNIST, "checksums", {name[:-3]: md5(content) for name, content in files.items()})
    data = MNIST(tmp_path / "here", train=False, download=True)
    np.testing.assert_array_equal(data.data.numpy(), digits(5)[0])
    MNIST(tmp_path / "here", train=False)
    assert len(server.asked) == 2


def test_cifar_is_fetched_and_nothing_else_is_unpacked(serve, tmp_path, monkeypatch):
    planes, labels = photographs(2, 10, 0)
    content = np.hstack([labels[:, None], planes.reshape(2, -1)]).tobytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in (*(f"cifar-10-batches-bin/{n}" for n in (*CIFAR10.train_files[0], "test_batch.bin")), "../evil"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    server = serve(**{"cifar-10-binary__tar__gz": packed.getvalue()})
    monkeypatch.setattr(CIFAR10, "address", server.address + "cifar-10-binary.tar.gz")
    monkeypatch.setattr(CIFAR10, "md5", md5(packed.getvalue()))
    assert len(CIFAR10(tmp_path / "root", download=True)) == 10
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted(
        ["root", "cifar-10-binary.tar.gz", "cifar-10-batches-bin", *CIFAR10.train_files[0], "test_batch.bin"]
    )
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        entry = tarfile.TarInfo("a")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(RuntimeError, match="no plain file"):
        fetching.take(tmp_path / "links.tar", ["a"], tmp_path)
    with pytest.raises(RuntimeError, match="has no file b"):
        fetching.take(tmp_path / "links.tar", ["b"], tmp_path)


# Folders, and sets of sets


def test_folders(tmp_path):
    for name in ("cat/b.npy", "cat/deep/a.npy", "dog/c.NPY", "dog/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    data = DatasetFolder(tmp_path, lambda path: Path(path).read_bytes(), (".npy",), len, str)
    assert data.classes == ["cat", "dog"] and data.class_to_idx == {"cat": 0, "dog": 1} and data.targets == [0, 0, 1]
    assert [data[i] for i in range(len(data))] == [(9, "0"), (14, "0"), (9, "1")]
    assert [p[len(str(tmp_path)) + 1 :] for p, _ in data.samples] == ["cat/b.npy", "cat/deep/a.npy", "dog/c.NPY"]
    assert len(DatasetFolder(tmp_path, len, is_valid_file=lambda p: "notes" in p, allow_empty=True)) == 1
    with pytest.raises(FileNotFoundError, match="cat has no file that ends in .txt"):
        DatasetFolder(tmp_path, len, ".txt")
    with pytest.raises(FileNotFoundError, match="no folder for any class"):
        DatasetFolder(tmp_path / "dog", len, ".txt")
    with pytest.raises(ValueError, match="one of extensions and is_valid_file"):
        DatasetFolder(tmp_path, len)


def test_images_in_folders(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.ppm").write_bytes(b"P6 5 4 255\n" + image.tobytes())
    read = ImageFolder(tmp_path, loader=lambda path: path[-5:])
    assert read[0] == ("1.ppm", 0) and read.imgs is read.samples
    try:
        import PIL.Image
    except ImportError:
        with pytest.raises(ImportError, match=r"trigrad\[image\]"):
            folder.read_image("any")
        return
    np.testing.assert_array_equal(ImageFolder(tmp_path)[0][0], image)
    assert ImageFolder(tmp_path, transforms.ToTensor())[0][0].shape == (3, 4, 5)
    assert transforms.CenterCrop(2)(PIL.Image.fromarray(image)).shape == (2, 2, 3)


def test_fake_data():
    data = FakeData(6, (3, 4, 5), 3, transforms.ToTensor())
    x, y = next(iter(DataLoader(data, 6, num_workers=1)))
    assert x.shape == (6, 3, 4, 5) and set(y.tolist()) <= {0, 1, 2} and len(np.unique(x.numpy())) > 100
    np.testing.assert_array_equal(data[1][0].numpy(), x.numpy()[1])
    np.testing.assert_array_equal(FakeData(6, (3, 4, 5), 3, random_offset=1)[0][0], FakeData(6, (3, 4, 5), 3)[1][0])
    with pytest.raises(IndexError, match="index 6"):
        data[6]


class Count(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


def test_chains_and_stacks():
    chain = Count(3) + Count(2)
    assert type(chain) is ChainDataset and list(chain) == [0, 1, 2, 0, 1] and len(chain) == 5
    assert [x.tolist() for x in DataLoader(chain, 3)] == [[0, 1, 2], [0, 1]]
    with pytest.raises(TypeError, match="expected IterableDatasets, got list"):
        ChainDataset([[1]])
    assert StackDataset([1, 2], "ab")[1] == (2, "b")
    named = StackDataset(x=[1, 2], y="ab")
    assert len(named) == 2 and named[0] == {"x": 1, "y": "a"}
    assert next(iter(DataLoader(named, 2)))["y"] == ["a", "b"]
    with pytest.raises(ValueError, match=r"one length, got \[1, 2\]"):
        StackDataset([1], [1, 2])
    for args, kwargs in (((), {}), (([1],), {"x": [1]})):
        with pytest.raises(ValueError, match="either by position or by name"):
            StackDataset(*args, **kwargs)
