/** What programs share that measure or run for long: an interruption ends them in order, their figures are told in one way. */

/** What such a program started it stops as its process exits: an interrupted one too. */
export function exitWhenInterrupted(): void {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => process.exit(code));
  }
}

/** A line each on stderr; with `json` as one object in the last line of stdout. */
export function tellFigures(figures: Readonly<Record<string, unknown>>, json: boolean): void {
  for (const [name, value] of Object.entries(figures)) console.error(`${name.padEnd(22)} ${JSON.stringify(value)}`);
  if (json) console.log(JSON.stringify(figures));
}
