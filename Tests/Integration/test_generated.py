"""Man pages and completions, as the program writes them, in the hands of those that read them."""

import re
import shutil
import subprocess

import pytest


@pytest.fixture(scope="module")
def generate(binary):
    def run(*words):
        done = subprocess.run([str(binary), "help", "--generate", *words], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "" and done.stdout, done
        return done.stdout

    return run


@pytest.fixture(scope="module")
def commands(generate):
    names = generate("commands").split()
    assert {"serve", "check-config", "publish", "version", "help"} <= set(names)
    return names


@pytest.fixture(scope="module")
def pages(generate, commands):
    return {"goleapai-ws.1": generate("man"), "goleapai-ws.yaml.5": generate("man-config"), "goleapai-ws.8": generate("man-daemon"),
            **{f"goleapai-ws-{name}.1": generate("man", name) for name in commands}}


def test_pages_without_a_warning(pages, tmp_path):
    for name, text in pages.items():
        path = tmp_path / name
        path.write_text(text)
        done = subprocess.run(["groff", "-man", "-ww", "-b", "-Tutf8", "-P-c", str(path)], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "", f"{name}: {done.stderr}"
        # No markup is left over, and nothing is lost at its edges.
        assert "\\f" not in done.stdout and "`" not in done.stdout
        assert re.search(r"^NAME$", re.sub(".\b", "", done.stdout), re.M), done.stdout[:500]
        if shutil.which("mandoc"):
            done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(path)], capture_output=True, text=True)
            # A date would say no more than the version does.
            said = [line for line in done.stdout.splitlines() if "missing date" not in line]
            assert not said, said


def test_every_key_and_option_has_its_place(run_binary, pages, commands):
    plain = {name: text.replace("\\-", "-") for name, text in pages.items()}
    keys = re.findall(r"^ *#(\w+):", run_binary("check-config", "--print-default"), re.M)
    assert len(keys) > 50
    for key in keys:
        assert re.search(rf"^\\fB[a-z_.]*\.{key}\\fR$", plain["goleapai-ws.yaml.5"], re.M), key
    for command in commands:
        for option in re.findall(r"^  (--[a-z-]+)", run_binary(command, "--help"), re.M):
            assert f"\n\\fB{option}\\fR" in plain[f"goleapai-ws-{command}.1"], (command, option)


@pytest.fixture(scope="module")
def run_binary(binary):
    return lambda *words: subprocess.run([str(binary), *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_syntax_of_completions(generate, shell, tmp_path):
    if not shutil.which(shell):
        assert shell != "bash"
        return
    path = tmp_path / "completion"
    path.write_text(generate(f"complete-{shell}"))
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done


@pytest.fixture
def complete(generate, tmp_path):
    """What bash offers for the last of these words, split as bash splits a line."""
    script = tmp_path / "completion"
    script.write_text(generate("complete-bash"))

    def ask(*words):
        done = subprocess.run(
            ["bash", "--norc", "-c", 'set -u; . "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _goleapai_ws "$1" "${!#}" "${@:$#-1:1}";'
             ' printf "%s\\n" "${COMPREPLY[@]}"; complete -p goleapai-ws >/dev/null', "bash", str(script), "goleapai-ws", *words],
            capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0 and done.stderr == "", done
        return set(done.stdout.split("\n")) - {""}

    return ask


def test_completion_of_commands_and_options(complete, commands, run_binary):
    assert complete("") == {*commands, "--help", "--version"}
    assert complete("--v") == {"--version"}
    for command in commands:
        assert complete(command[:-1]) >= {command}
        options = set(re.findall(r"^  (--[a-z-]+)", run_binary(command, "--help"), re.M))
        assert "--help" in options and complete(command, "-") == options
        assert complete(command, "--help", "--") == options


def test_completion_of_values(complete, commands, tmp_path):
    (tmp_path / "my config.yaml").touch()
    for words in (["serve", "--config", "my"], ["serve", "--config", "=", "my"], ["publish", "--config", "my"], ["serve", "--demo", "--config", "my"]):
        assert complete(*words) == {"my config.yaml"}, words
    assert "my config.yaml" in complete("check-config", "--config", "=")
    channels = {"logs", "stats", "providers", "requests", "all"}
    assert complete("publish", "") == channels and complete("publish", "--type", "log", "s") == {"stats"}
    assert complete("help", "") == set(commands)
    assert complete("help", "--generate", "complete-") == {"complete-bash", "complete-zsh", "complete-fish"}
    assert complete("help", "--generate", "man", "se") == {"serve"}
    for words in (["serve", "--port", ""], ["publish", "--data", ""], ["publish", "--type", "=", ""], ["serve", ""], ["version", ""]):
        assert complete(*words) == set(), words
