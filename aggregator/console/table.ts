/** A table that scrolls by itself where there is no room, and can be reached by keyboard. Input: heads and rows; output: elements. */
import { el, setChildren } from './dom.ts';

export type Cell = string | HTMLElement;

export interface Table {
  element: HTMLElement;
  /** The first cell of a row names it. */
  show(rows: readonly (readonly Cell[])[]): void;
}

export function table(caption: string, heads: readonly string[], numeric: readonly number[] = []): Table {
  const body = el('tbody');
  const right = (i: number): Record<string, string> => (numeric.includes(i) ? { class: 'number' } : {});
  const head = el('tr', {}, ...heads.map((text, i) => el('th', { scope: 'col', ...right(i) }, text)));
  const element = el(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    el('table', { class: 'listing' }, el('caption', { class: 'unseen' }, caption), el('thead', {}, head), body),
  );
  // Heads without rows would only be in the way.
  element.hidden = true;
  let shown = '';
  return {
    element,
    show(rows) {
      const made = rows.map((cells) =>
        el('tr', {}, ...cells.map((cell, i) => (i === 0 ? el('th', { scope: 'row' }, cell) : el('td', right(i), cell)))),
      );
      // Nothing is touched when nothing changed, so selection and focus stay.
      const text = made.map((row) => row.outerHTML).join('');
      if (text === shown) return;
      shown = text;
      setChildren(body, made);
      element.hidden = rows.length === 0;
    },
  };
}
