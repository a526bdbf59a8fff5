"""Makes the sample corpus: manifests/sample/, manifests/sample.csv and manifests/sample.jsonl.

Kept so that anyone can see where the files come from and add to them; neither the install nor the tests
run it.

Needs two Debian packages and two Python ones that the `local` extra brings:

    apt-get install flite opus-tools
    pip install -e '.[local]'

    python manifests/make_sample.py            # writes the corpus anew, byte for byte the same
    python manifests/make_sample.py --check    # writes nothing; prints the word error rates

Voices and sentences were picked for what the local recognizer (pocketsphinx) understands, so its low error
rate here says that the way through the pipeline is right and nothing about real speech. References are lower
case without punctuation, as it answers. Each recording is cut to its speech and gets 0.3 s of silence at both
ends, because a word on sample 0 is easily missed.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr

HERE = Path(__file__).parent
SILENCE_S = 0.3
SPEECH_FLOOR = 200  # flite's own leading and trailing silence stays below this 16-bit sample value


class Line(NamedTuple):
    """One recording to make; `form` is a suffix of FORMS, `speaker` the name of a flite voice."""

    id: str
    speaker: str
    form: str
    topic: str
    text: str


FORMS: dict[str, tuple[int, str]] = {
    # suffix: (sample rate in Hz, soundfile subtype; "OPUS" goes through opusenc)
    "-16k.wav": (16_000, "PCM_16"),
    "-24k.wav": (24_000, "PCM_16"),
    "-24bit.wav": (16_000, "PCM_24"),
    ".opus": (16_000, "OPUS"),
    ".ogg": (24_000, "OPUS"),
}

LINES = (
    Line("rain", "rms", "-16k.wav", "weather", "it rained all night and the streets are still wet"),
    Line("door", "rms", "-16k.wav", "home", "please close the door when you leave the room"),
    Line("sister", "rms", ".opus", "leisure", "my sister is reading a book about the history of music"),
    Line("bridge", "rms", "-24bit.wav", "city", "they want to build a new bridge across the river"),
    Line("train", "awb", "-24k.wav", "travel", "the train to the city leaves early in the morning"),
    Line("coffee", "awb", ".opus", "food", "i would like to order a cup of coffee and some bread"),
    Line("street", "awb", ".ogg", "travel", "turn left at the second street and then go straight"),
    Line("car", "awb", ".opus", "travel", "he bought a new car but he still walks to work"),
    Line("sunny", "kal16", "-24bit.wav", "weather", "the weather will be warm and sunny tomorrow"),
    Line("piano", "kal16", ".opus", "leisure", "she plays the piano every evening after dinner"),
    Line("garden", "kal16", ".ogg", "home", "the children are playing in the garden behind the school"),
    Line("team", "slt", "-24k.wav", "leisure", "our team won the game in the final minute"),
    Line("answer", "slt", ".opus", "work", "you can find the answer on the last page of the book"),
    Line("keys", "slt", ".ogg", "home", "i forgot my keys so i had to wait outside"),
)


def command(name: str) -> str:
    """Where the program `name` lies; ends the script with what to install when it is missing."""
    found = shutil.which(name)
    if found is None:
        sys.exit(f"{name} is not installed: apt-get install flite opus-tools")
    return found


def speak(line: Line, folder: Path) -> tuple[Any, int]:
    """The spoken line as (16-bit mono samples, rate in Hz), with SILENCE_S of silence at both ends."""
    raw = folder / "raw.wav"
    subprocess.run([command("flite"), "-voice", line.speaker, "-t", line.text, "-o", str(raw)], check=True)  # noqa: S603  fixed program, texts from above
    samples, rate = soundfile.read(raw, dtype="int16")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > SPEECH_FLOOR)
    silence = np.zeros(int(SILENCE_S * rate), np.int16)
    return np.concatenate([silence, samples[loud[0] : loud[-1] + 1], silence]), rate


def write(line: Line, serial: int, folder: Path) -> tuple[str, float]:
    """Makes the recording of one line; returns its name and its length in seconds."""
    samples, spoken_rate = speak(line, folder)
    rate, subtype = FORMS[line.form]
    if rate != spoken_rate:
        samples = soxr.resample(samples, spoken_rate, rate)
    name = line.id + line.form
    target = HERE / "sample" / name
    if subtype == "OPUS":
        plain = folder / "plain.wav"
        soundfile.write(plain, samples, rate, subtype="PCM_16")
        options = ["--quiet", "--speech", "--bitrate", "32", "--padding", "0", "--serial", str(serial)]
        subprocess.run([command("opusenc"), *options, str(plain), str(target)], check=True)  # noqa: S603  as above
    else:
        soundfile.write(target, samples, rate, subtype=subtype)
    return name, len(samples) / rate


def make() -> None:
    """Writes the recordings and the two manifests that name them."""
    (HERE / "sample").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = [(line, *write(line, serial, Path(folder))) for serial, line in enumerate(LINES, start=1)]
    with (HERE / "sample.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "audio", "reference", "language", "speaker", "topic"])
        for line, name, _ in made:
            table.writerow([line.id, f"sample/{name}", line.text, "en", line.speaker, line.topic])
    with (HERE / "sample.jsonl").open("w", encoding="utf-8") as file:
        for line, name, duration_s in made:
            row = {"audio_filepath": f"sample/{name}", "text": line.text, "duration": round(duration_s, 3)}
            row |= {"id": line.id, "language": "en", "speaker": line.speaker, "topic": line.topic}
            file.write(json.dumps(row) + "\n")


def check() -> None:
    """Recognizes every recording and prints its word error rate and the corpus's."""
    import jiwer
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=16000, maxhmmpf=3000, loglevel="FATAL")
    references, hypotheses = [], []
    for line in LINES:
        samples, rate = soundfile.read(HERE / "sample" / (line.id + line.form), dtype="int16")
        decoder.reinit_feat()  # without it the last file changes this one's text
        decoder.start_utt()
        decoder.process_raw(soxr.resample(samples, rate, 16_000).tobytes(), full_utt=True)
        decoder.end_utt()
        words = [segment.word.split("(")[0] for segment in decoder.seg()]
        heard = " ".join(word for word in words if word and word[0] not in "<[")
        references.append(line.text)
        hypotheses.append(heard)
        length_s = len(samples) / rate
        note = "" if heard == line.text else f"  heard: {heard}"
        print(f"{jiwer.wer(line.text, heard):.3f}  {length_s:.2f} s  {line.id + line.form}{note}")
    print(f"{jiwer.wer(references, hypotheses):.3f}  corpus")


if __name__ == "__main__":
    check() if "--check" in sys.argv[1:] else make()
