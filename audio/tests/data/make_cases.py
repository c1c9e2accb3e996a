#!/usr/bin/env python3
"""Makes cases.json: small recordings in odd headers and other codecs, with their samples as other programs read them.

    pip install numpy soundfile; apt-get install ffmpeg sox flac
    python3 make_cases.py > cases.json

Headers are written here byte by byte. The expected samples are those of libsndfile, or of ffmpeg where libsndfile does
not read a file (named in `by`), as the mean over the channels. Files to be refused have the word that names their codec.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import soundfile

RATE = 16_000
TAG_GUID = bytes.fromhex("000000001000800000aa00389b71")
work = tempfile.mkdtemp()
cases = []


def path(name):
    return os.path.join(work, name)


def by_libsndfile(name):
    return soundfile.read(path(name), dtype="float64", always_2d=True)[0]


def by_ffmpeg(name, channels=1):
    command = ["ffmpeg", "-v", "error", "-i", path(name), "-f", "f64le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout).reshape(-1, channels)


def add(name, by=by_libsndfile, **extra):
    data = open(path(name), "rb").read()
    case = {"name": name, "bytes": data.hex(), **extra}
    if by:
        samples = by(name).mean(axis=1)
        case |= {"by": by.__name__[3:], "samples": [float(f"{x:.9g}") for x in samples]}
    cases.append(case)


def fmt(tag, bits, channels=1, sample_bytes=None, valid=None, guid=None, extra=b""):
    block = channels * (sample_bytes or (bits + 7) // 8)
    chunk = struct.pack("<HHIIHH", tag, channels, RATE, RATE * block, block, bits)
    if guid is not None:
        chunk += struct.pack("<HHI", 22, bits if valid is None else valid, (1 << channels) - 1) + guid
    return chunk + extra


def guid(tag):
    return struct.pack("<H", tag) + TAG_GUID


def wav(name, form, data, before=b"", after=b"", size=None, riff=None, magic=b"RIFF", **how):
    body = b"WAVE" + (b"" if magic == b"RIFF" else before) + b"fmt " + struct.pack("<I", len(form)) + form
    body += before if magic == b"RIFF" else b""
    body += b"data" + struct.pack("<I", len(data) if size is None else size) + data + after
    riff = len(body) if riff is None else riff
    open(path(name), "wb").write(magic + struct.pack("<I", riff) + body)
    add(name, **how)


def integers(values, valid, container):
    """Little-endian integers of `valid` bits at the top of `container` bytes."""
    raw = np.round(values * (2.0 ** (valid - 1) - 1)).astype("<i8") << (8 * container - valid)
    if container == 1:
        raw = raw + 128
    return b"".join(int(v).to_bytes(8, "little", signed=True)[:container] for v in raw)


tone = 0.7 * np.sin(2 * np.pi * 440 * np.arange(48) / RATE) * np.hanning(48)
stereo = np.stack([tone, 0.3 * np.cos(np.arange(48))], axis=1).ravel()
pcm16 = integers(tone, 16, 2)

# Samples narrower than their container: with the extension and without.
for valid, container in [(4, 1), (7, 1), (9, 2), (12, 2), (14, 2), (16, 3), (18, 3), (20, 3), (16, 4), (20, 4), (24, 4), (28, 4)]:
    form = fmt(0xFFFE, 8 * container, valid=valid, guid=guid(1))
    wav(f"{valid}-bits-in-{container}.wav", form, integers(tone, valid, container))
wav("24-bits-in-4-stereo.wav", fmt(0xFFFE, 32, 2, valid=24, guid=guid(1)), integers(stereo, 24, 4))
for valid, container in [(12, 2), (20, 3)]:
    wav(f"plain-{valid}-bits-in-{container}.wav", fmt(1, valid, sample_bytes=container), integers(tone, valid, container))

# Floats of 64 bits, G.711 (all codes).
wav("float64.wav", fmt(3, 64), tone.astype("<f8").tobytes())
wav("float64-stereo-ext.wav", fmt(0xFFFE, 64, 2, guid=guid(3)), stereo.astype("<f8").tobytes())
wav("float32-long-fmt.wav", fmt(3, 32, extra=struct.pack("<HHI", 22, 32, 4) + guid(3)), tone.astype("<f4").tobytes())
for tag, law in [(6, "a-law"), (7, "mu-law")]:
    wav(f"{law}.wav", fmt(tag, 8, extra=b"\0\0"), bytes(range(256)))
    wav(f"{law}-short-fmt.wav", fmt(tag, 8), bytes(range(0, 256, 5)))
    wav(f"{law}-stereo-ext.wav", fmt(0xFFFE, 8, 2, guid=guid(tag)), bytes(range(0, 256, 2)))

# Sizes that a writer left open, as SoX, ffmpeg and others leave them.
plain = fmt(1, 16)
for size in [0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDA, 0xFFFFFFFF]:
    wav(f"open-{size:08x}.wav", plain, pcm16, size=size, riff=min(size + 36, 0xFFFFFFFF))
for riff in [0, 36, 0xFFFFFFFF]:
    wav(f"open-0-riff-{riff:x}.wav", plain, pcm16, size=0, riff=riff, by=by_ffmpeg)
list_chunk = b"LIST\x0e\0\0\0INFOISFT\2\0\0\0a\0"
wav("open-list.wav", plain, pcm16, before=list_chunk, size=0xFFFFFFFF, riff=0xFFFFFFFF)
ds64 = b"ds64" + struct.pack("<IQQQI", 28, 4 + 36 + 24 + len(pcm16), len(pcm16), 48, 0)
wav("rf64.wav", plain, pcm16, before=ds64, size=0xFFFFFFFF, riff=0xFFFFFFFF, magic=b"RF64", after=list_chunk)

# Odd fmt chunks, and chunks around the samples.
wav("fmt-of-20.wav", fmt(1, 16, extra=b"\2\0ab"), pcm16)
wav("fmt-of-40-pcm.wav", fmt(1, 16, extra=b"\x16\0" + bytes(22)), pcm16)
wav("float-fmt-of-20.wav", fmt(3, 32, extra=b"\2\0ab"), tone.astype("<f4").tobytes())
wav("ext-size-0.wav", plain[:0] + fmt(0xFFFE, 16, extra=struct.pack("<HHI", 0, 16, 0) + guid(1)), pcm16)
wav("ext-valid-0.wav", fmt(0xFFFE, 16, valid=0, guid=guid(1)), pcm16)
wav("ext-valid-too-large.wav", fmt(0xFFFE, 16, valid=24, guid=guid(1)), pcm16)
wav("block-size-0.wav", plain[:12] + b"\0\0" + plain[14:], pcm16)
wav("block-size-wrong.wav", plain[:12] + b"\4\0" + plain[14:], pcm16)
wav("byte-rate-wrong.wav", plain[:8] + b"\1\0\0\0" + plain[12:], pcm16)
wav("list-around.wav", plain, pcm16, before=list_chunk, after=list_chunk)
wav("odd-list.wav", plain, pcm16, before=b"LIST\5\0\0\0INFOx\0")
wav("odd-data.wav", fmt(1, 24), integers(tone[:47], 24, 3) + b"\0", size=141, after=list_chunk)
wav("partial-frame.wav", plain, pcm16 + b"\7", after=b"\0")

# What is not read, by the word that names it.
soundfile.write(path("tone.wav"), np.tile(tone, 40), RATE, subtype="PCM_16")


def encode(name, word, *arguments):
    command = ["ffmpeg", "-v", "error", "-y", "-i", path("tone.wav"), "-bitexact", *arguments, path(name)]
    subprocess.run(command, check=True)
    add(name, by=None, unsupported=word)


encode("adpcm-ms.wav", "Microsoft ADPCM", "-c:a", "adpcm_ms")
encode("adpcm-ima.wav", "IMA ADPCM", "-c:a", "adpcm_ima_wav")
subprocess.run(["sox", path("tone.wav"), "-e", "gsm-full-rate", path("gsm.wav")], check=True)
add("gsm.wav", by=None, unsupported="GSM")
encode("mp3.wav", "MP3", "-c:a", "libmp3lame", "-b:a", "32k")
encode("adts.aac", "AAC", "-c:a", "aac", "-b:a", "24k")
encode("m4a.m4a", "AAC", "-c:a", "aac", "-b:a", "24k")
encode("layer2.mp2", "layer II", "-c:a", "mp2", "-b:a", "32k")
encode("opus.opus", "Opus", "-c:a", "libopus", "-b:a", "16k")
encode("speex.spx", "Speex", "-c:a", "libspeex", "-b:a", "8k")
encode("wma.wma", "WMA", "-c:a", "wmav2", "-b:a", "24k")

# FLAC written to a pipe (no length, no checksum) and in Ogg.
short = path("short.wav")
soundfile.write(short, tone, RATE, subtype="PCM_16")
stream = subprocess.run(["flac", "-s", "-c", "--no-padding", "-"], stdin=open(short, "rb"), check=True, capture_output=True)
open(path("pipe.flac"), "wb").write(stream.stdout)
add("pipe.flac")
subprocess.run(["flac", "-s", "--ogg", "--no-padding", short, "-o", path("flac.oga")], check=True)
add("flac.oga", by=by_ffmpeg)

print("[", ",\n".join(json.dumps(case) for case in cases), "]", sep="\n")
print(f"{len(cases)} cases", file=sys.stderr)
