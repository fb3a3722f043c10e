"""Where models come from: folders as diffusers saves them, on this disk or from the Hugging Face hub."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
LICENCE_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "NOTICE", "NOTICE.md")
# Besides the weights. Tokenizers are files of their own or, as transformers 5 saves them, one tokenizer.json.
SMALL_FILES = ["*config.json", "*/*config.json", "model_index.json", "README.md", *LICENCE_FILES]
SMALL_FILES += [f"tokenizer{n}/{name}" for n in ("", "_2") for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer.json")]


class ExportError(Exception):
    """What keeps a model from being exported; says what to do."""


@dataclass(frozen=True)
class Source:
    """A diffusers folder and what is known of its origin."""

    name: str
    folder: Path
    revision: str | None
    license: str | None

    def part(self, name):
        """The folder of a part, of a whole pipeline or a folder that holds nothing else."""
        for folder in (self.folder / name, self.folder):
            if (folder / "config.json").is_file():
                return folder
        raise ExportError(f"{self.name} has neither {name}/config.json nor config.json")

    def has(self, name):
        return (self.folder / name / "config.json").is_file()


def open_source(name, parts):
    """
    `name` is a folder, or ID[@REVISION] on the hub, of which only `parts` are fetched (weights in float16 where it has
    such, as safetensors). `parts` are folders, "" for the top one.
    """
    if Path(name).is_dir():
        folder = Path(name).resolve()
        return Source(name, folder, revision_of(folder), license_of(folder))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, HfHubHTTPError, LocalEntryNotFoundError

    repo, _, revision = name.partition("@")
    half = [str(Path(part) / f"*model.fp16*.safetensors*") for part in parts]
    full = [str(Path(part) / f"*model*.safetensors*") for part in parts]
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, allow_patterns=[*SMALL_FILES, *half]))
        lacking = [pattern for part, pattern in zip(parts, full) if not any((folder / part).glob("*model*.safetensors*"))]
        if lacking:
            commit = folder.name
            snapshot_download(repo, revision=commit, allow_patterns=lacking)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ExportError(f"{name} is no folder here, and the hub does not give it: {error}") from error
    return Source(repo, folder, revision_of(folder), license_of(folder))


def revision_of(folder):
    """The commit of the hub that a folder was fetched from, where the hub's client left a note of it."""
    if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name):
        return folder.name
    # `hf download --local-dir` notes the commit in the first line of a file for each it fetched.
    notes = (folder / ".cache" / "huggingface" / "download").rglob("*.metadata")
    commits = {note.read_text().split("\n", 1)[0] for note in notes}
    commits = {commit for commit in commits if COMMIT.fullmatch(commit)}
    return commits.pop() if len(commits) == 1 else None


def license_of(folder):
    """`license` of the model card's front matter."""
    card = folder / "README.md"
    front = re.match(r"---\n(.*?)\n---", card.read_text(), re.S) if card.is_file() else None
    found = front and re.search(r"^license:\s*['\"]?([^'\"\n]+?)['\"]?\s*$", front[1], re.M)
    return found[1] if found else None


def weight_files(folder):
    """The safetensors of a part, and their variant: those in float16 where there are both."""
    files = sorted(folder.glob("*model*.safetensors"))
    half = [file for file in files if ".fp16" in file.name]
    plain = [file for file in files if re.fullmatch(r"(diffusion_pytorch_)?model(-\d+-of-\d+)?\.safetensors", file.name)]
    if half:
        return half, "fp16"
    if not plain:
        raise ExportError(f"{folder} has no weights as safetensors; save them with save_pretrained(..., safe_serialization=True)")
    return plain, None


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} can't be read: {error}") from error


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
