/** How far back charts look: one choice for the whole page. Input: the reader's choice; output: milliseconds. */
import { el } from './dom.ts';

const CHOICES: readonly [label: string, minutes: number][] = [
  ['5 minutes', 5],
  ['10 minutes', 10],
  ['1 hour', 60],
  ['6 hours', 360],
  ['1 day', 1440],
  ['1 week', 10_080],
];
const MS_PER_MINUTE = 60_000;
/** A chart should show about so many steps. */
const STEPS_WANTED = 100;

let chosenMs: number | null = null;
let fittingMs = 10 * MS_PER_MINUTE;

export function windowMs(): number {
  return chosenMs ?? fittingMs;
}

/** Until the reader chooses, the window follows the length of the fleet's steps. */
export function fitWindow(stepMs: number | null): void {
  if (stepMs === null) return;
  const wantedMinutes = (STEPS_WANTED * stepMs) / MS_PER_MINUTE;
  const fitting = CHOICES.reduce((best, choice) =>
    Math.abs(Math.log(choice[1] / wantedMinutes)) < Math.abs(Math.log(best[1] / wantedMinutes)) ? choice : best,
  );
  fittingMs = fitting[1] * MS_PER_MINUTE;
}

export function windowPicker(changed: () => void): { element: HTMLElement; update: () => void } {
  const select = el('select', {}, ...CHOICES.map(([label, minutes]) => el('option', { value: minutes }, label)));
  select.addEventListener('change', () => {
    chosenMs = Number(select.value) * MS_PER_MINUTE;
    changed();
  });
  return {
    element: el('label', { class: 'picker' }, 'Charts show the last ', select),
    update() {
      const value = String(windowMs() / MS_PER_MINUTE);
      if (select.value !== value && document.activeElement !== select) select.value = value;
    },
  };
}
