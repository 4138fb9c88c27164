// Package browser drives headless Chromium for tests of pages, and judges what
// a page looks like: whether it scrolls sideways, cuts text off, or has text
// that is hard to read.
package browser

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Page is one tab.
type Page struct {
	t   *testing.T
	ctx context.Context
}

// patience is how long anything may take before the test fails.
const patience = time.Minute

// Open starts Chromium with an empty tab, which ends with the test. It is
// Debian's package chromium, which test/host/host.sh installs.
func Open(t *testing.T) *Page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patience))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	// The browser lives as long as the context of the first call.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("browser: %v", err)
	}
	return &Page{t, ctx}
}

func run[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	out, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("browser: %v", err)
	}
	return out
}

// Go goes to an address and returns the status that it is answered with.
func (p *Page) Go(url string) int64 {
	p.t.Helper()
	return run(p, chromedp.NavigateResponse(url)).Status
}

// Click clicks on the first element of a CSS selector, with the mouse.
func (p *Page) Click(selector string) {
	p.t.Helper()
	run(p, chromedp.Click(selector))
}

// Type presses keys.
func (p *Page) Type(keys string) {
	p.t.Helper()
	run(p, chromedp.KeyEvent(keys))
}

// See makes the tab that wide, and light or dark.
func (p *Page) See(width int64, scheme string) {
	p.t.Helper()
	run(p, chromedp.EmulateViewport(width, 900))
	run(p, func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
	})
}

// Value evaluates an expression of JavaScript.
func Value[T any](p *Page, expression string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](expression))
}

// Until waits for an expression to be true.
func (p *Page) Until(expression string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !Value[bool](p, "(() => { try { return Boolean("+expression+") } catch { return false } })()") {
		if time.Now().After(deadline) {
			p.t.Fatalf("browser: never: %s; the page, with %q typed:\n%s", expression, Value[string](p, "document.querySelector('input')?.value ?? ''"), Value[string](p, "document.body.innerText"))
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// Shot writes a picture of the whole page into the folder that
// KUBECTL_AI_SHOTS names, if it does.
func (p *Page) Shot(name string) {
	p.t.Helper()
	dir := os.Getenv("KUBECTL_AI_SHOTS")
	if dir == "" {
		return
	}
	png := run(p, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Judge fails the test for what is wrong with the page as it is now.
func (p *Page) Judge(name string) {
	p.t.Helper()
	for _, wrong := range Value[[]string](p, judge) {
		p.t.Errorf("%s: %s", name, wrong)
	}
	if n := Value[int](p, `document.querySelectorAll("body *").length`); n < 20 {
		p.t.Errorf("%s: the page has %d elements: there is nothing to judge", name, n)
	}
}

// judge lists what is wrong: a page that scrolls sideways, text that is cut
// off, text whose contrast is under 4.5:1 (WCAG 2.2, 1.4.3).
const judge = `(() => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wrong.push("it scrolls sideways: " + root.scrollWidth + " of " + root.clientWidth);
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + "." + [...e.classList].join(".") + " " + JSON.stringify(e.textContent.trim().slice(0, 40));
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true });
  const color = (s) => { const m = s.match(/[\d.]+/g).map(Number); return s.startsWith("rgb") ? [m[0], m[1], m[2], m[3] === undefined ? 1 : m[3]] : null; };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => { const l = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const ground = (e) => { const layers = []; for (let a = e; a; a = a.parentElement) layers.push(color(getComputedStyle(a).backgroundColor)); let c = matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0, 1] : [255, 255, 255, 1]; for (const l of layers.reverse()) c = over(l, c); return c; };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let judged = 0;
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || !shown(e) || e.closest(".hidden, .skip")) continue;
    const b = ground(e), f = over(color(getComputedStyle(e).color), b);
    const [hi, lo] = [light(f), light(b)].sort((x, y) => y - x);
    const ratio = (hi + 0.05) / (lo + 0.05);
    judged++;
    if (ratio < 4.5) wrong.push("contrast " + ratio.toFixed(2) + ": " + name(e));
    const r = document.createRange();
    r.selectNodeContents(n);
    for (const box of r.getClientRects()) if (box.width > 0 && (box.right > root.clientWidth + 0.5 || box.left < -0.5)) { wrong.push("text outside the page: " + name(e)); break; }
  }
  if (judged < 10) wrong.push("only " + judged + " texts were judged");
  for (const e of document.querySelectorAll("body *")) {
    if (!shown(e) || e.closest(".hidden, .skip, svg")) continue;
    const s = getComputedStyle(e);
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && s.overflowX !== "visible" && e.tagName !== "INPUT") wrong.push("cut off: " + name(e) + " " + e.scrollWidth + " of " + e.clientWidth);
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && s.display !== "inline" && s.overflowX === "visible" && e.children.length === 0) wrong.push("sticks out: " + name(e) + " " + e.scrollWidth + " of " + e.clientWidth);
  }
  return wrong;
})()`
