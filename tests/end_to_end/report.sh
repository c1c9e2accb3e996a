#!/usr/bin/env bash
# Loads a report in headless Chromium: it must load without a console error or a request to the network, its buttons must
# filter the examples, every plot must be seen, and no text in a plot may be cut off or lie on another. Takes screenshots,
# light and dark, wide and narrow.
#
# Usage: tests/end_to_end/report.sh runs/sound/eval/report.html     needs Chromium (Debian: apt-get install chromium)
#        tests/end_to_end/report.sh runs/transfer/report.html
#   CHROMIUM  the browser                    [default: chromium]
#   SHOTS     folder for the screenshots     [default: none are taken]
set -euo pipefail
report=$(realpath "$1")
chromium=${CHROMIUM:-chromium}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

browse() { # options..., page
    "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run \
        --disable-background-networking --host-resolver-rules="MAP * ~NOTFOUND" --user-data-dir="$work/profile" "$@"
}
fail() {
    echo "report.sh: $1" >&2
    exit 1
}

phone() { # page: a window is never narrower than 500 pixels, a frame in it can be
    cat << HTML
<!DOCTYPE html><body style="margin:0"><script>
onmessage = (event) => document.body.setAttribute("data-pressed", event.data);
</script><iframe src="file://$1" style="border:0;width:400px;height:${HEIGHT:-6000}px"></iframe>
HTML
}

# The page itself, then a copy that presses every button: after each, exactly the cards of its change may be seen. The
# copy's own script needs a policy that lets it run.
cat > "$work/press.js" << 'JS'
const pressed = [];
for (const button of document.querySelectorAll(".filter button")) {
  button.click();
  const seen = [...document.querySelectorAll("[data-change]")].filter((card) => card.offsetParent !== null);
  const count = Number(/\((\d+)\)/.exec(button.textContent)[1]);
  const right = seen.every((card) => button.dataset.show === "" || card.dataset.change === button.dataset.show);
  pressed.push(right && seen.length === count ? "ok" : "bad");
}
const plots = document.querySelectorAll("svg[role=img]");
for (const plot of plots) {
  const [, , width, height] = plot.getAttribute("viewBox").split(" ").map(Number);
  const texts = [...plot.querySelectorAll("text")].map((text) => [text.textContent, text.getBBox()]);
  const name = plot.getAttribute("aria-label");
  if (plot.getBoundingClientRect().width < 50 || plot.children.length < 2) pressed.push(`bad: unseen ${name}`);
  for (const [at, [text, box]] of texts.entries()) {
    if (box.x < -1 || box.y < -1 || box.x + box.width > width + 1 || box.y + box.height > height + 3)
      pressed.push(`bad: ${text} is cut off in ${name}`);
    for (const [other, on] of texts.slice(at + 1)) {
      const across = Math.min(box.x + box.width, on.x + on.width) - Math.max(box.x, on.x);
      const down = Math.min(box.y + box.height, on.y + on.height) - Math.max(box.y, on.y);
      if (across > 1 && down > 4) pressed.push(`bad: ${text} lies on ${other} in ${name}`);
    }
  }
}
pressed.push(`plots=${plots.length}`);
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth ? "overflows" : "fits";
parent.postMessage(`${pressed.join(" ")} ${wide}`, "*");
JS
{
    sed -e "s/script-src '[^']*'/script-src 'unsafe-inline'/" -e '/<\/body>/,$d' "$report"
    echo "<script>"; cat "$work/press.js"; echo "</script></body></html>"
} > "$work/pressed.html"
phone "$work/pressed.html" > "$work/framed.html"
phone "$report" > "$work/phone.html"

for page in "$report" "$work/framed.html"; do
    browse --virtual-time-budget=5000 --enable-logging=stderr --v=0 --dump-dom "file://$page" > "$work/dom" 2> "$work/log" ||
        fail "Chromium failed: $(tail -3 "$work/log")"
    if grep -E "CONSOLE" "$work/log"; then fail "the console has messages"; fi
done
# No request but the page itself: everything else is in it.
if grep -oE '(src|href)="[^"]{0,40}' "$report" | grep -vE '="data:'; then fail "the page refers to other files"; fi
result=$(grep -oE 'data-pressed="[^"]*"' "$work/dom") || fail "the script did not run"
case $result in
    *bad:*) fail "$result" ;;
    *bad*) fail "a filter shows the wrong examples: $result" ;;
    *plots=0*) fail "there are no plots" ;;
    *overflows*) fail "the page is wider than a phone: $result" ;;
    *ok*) ;;
    *) if grep -q "<article" "$report"; then fail "there are no filters: $result"; fi ;;
esac

if [ -n "${SHOTS:-}" ]; then
    mkdir -p "$SHOTS"
    for theme in light dark; do
        scheme=$([ $theme = light ] && echo 1 || echo 0)
        shoot() { # width, page
            browse --blink-settings=preferredColorScheme="$scheme" --window-size="$1,${HEIGHT:-6000}" \
                --screenshot="$SHOTS/$theme-$1.png" "file://$2" 2> /dev/null
        }
        shoot 1200 "$report"
        shoot 500 "$work/phone.html" # the frame in it is 400 wide
    done
    browse --print-to-pdf="$SHOTS/print.pdf" --no-pdf-header-footer "file://$report" 2> /dev/null
fi
filters=$({ grep -o 'ok' <<< "$result" || true; } | wc -l)
plots=$(grep -o 'plots=[0-9]*' <<< "$result")
echo "report.sh: $filters filters, ${plots#plots=} plots, $(wc -c < "$report") bytes, no console error"
