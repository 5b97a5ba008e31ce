/**
 * What tests ask of a page from within it. Input: a page; output: plain values. The code that runs in the page is text, since
 * this project has no browser's types.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const PIXELS = `([selector, variable]) => {
  const canvas = document.querySelector(selector);
  const copy = document.createElement('canvas');
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const drawn = copy.getContext('2d', { willReadFrequently: true });
  drawn.drawImage(canvas, 0, 0);
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  probe.fillStyle = getComputedStyle(canvas).getPropertyValue(variable);
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  const { data } = drawn.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const away = Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b);
    if (data[i + 3] > 200 && away < 12) count++;
  }
  return count;
}`;

/** Pixels of a canvas that have a colour of the theme, given as the name of its style variable. */
export function pixelsOf(page: Page, selector: string, variable: string): Promise<number> {
  return page.evaluate(`(${PIXELS})(${JSON.stringify([selector, variable])})`);
}

const UNNAMED = `[...document.querySelectorAll('a, button, input, select, summary, [role="img"], table')].flatMap((element) => {
  const label = element.closest('label')?.textContent ?? '';
  const caption = element.querySelector('caption, th')?.textContent ?? '';
  const name = element.getAttribute('aria-label') ?? element.textContent ?? '';
  return (name + label + caption).trim() === '' ? [element.outerHTML.slice(0, 120)] : [];
})`;

/** Links, buttons, fields, pictures and tables without a name. */
export function unnamed(page: Page): Promise<string[]> {
  return page.evaluate(UNNAMED);
}

const FAINT = `(() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  let looked = 0;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== '');
    if (!own || !element.offsetParent) continue;
    looked++;
    const [a, b] = [luminance(rgb(getComputedStyle(element).color)), luminance(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push(contrast.toFixed(2) + ' ' + element.className + ' ' + element.textContent.slice(0, 40));
  }
  return looked === 0 ? ['no text was found'] : [...new Set(found)];
})()`;

/** Texts whose contrast with the nearest painted ground is under 4.5 (WCAG 2.2, AA). */
export function faint(page: Page): Promise<string[]> {
  return page.evaluate(FAINT);
}

/** Pixels by which the page is wider than the window. */
export function sidewaysPx(page: Page): Promise<number> {
  return page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
}

/** Mean of red, green and blue of the page's ground, 0..255. */
export async function groundBrightness(page: Page): Promise<number> {
  const colour = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
  const parts = (colour.match(/\d+/g) ?? []).slice(0, 3).map(Number);
  return parts.reduce((sum, part) => sum + part, 0) / 3;
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Rules whose verdict hangs on colours. */
const COLOUR_RULES = { runOnly: { type: 'rule', values: ['color-contrast', 'link-in-text-block'] } };

/**
 * What axe finds against WCAG 2.2, A and AA, and its best practices: rule, and where. Run in the page without its policy's leave.
 * `colours`: only what may differ between two themes of one layout.
 */
export async function axeViolations(page: Page, rules: 'all' | 'colours' = 'all'): Promise<string[]> {
  await page.evaluate(AXE);
  const options = JSON.stringify({ resultTypes: ['violations'], ...(rules === 'colours' ? COLOUR_RULES : {}) });
  return page.evaluate(`axe.run(document, ${options}).then(({ violations, passes }) => {
    if (passes.length === 0) return ['axe looked at nothing'];
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + ' ' + target.join(' ') + ' ' + failureSummary.slice(0, 160)));
  })`);
}
