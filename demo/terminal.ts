/**
 * What the demo says to people: lines with the time since its start, and one block that is redrawn in place on a terminal.
 * Everything goes to stdout; the verdict's JSON is printed last by the caller.
 */
export interface Terminal {
  say(line: string): void;
  /** Replaces the block drawn last; off a terminal it prints the lines, at most every `plainEveryMs`. */
  draw(lines: readonly string[]): void;
}

/** A log that repeats the table each second helps nobody. */
const PLAIN_EVERY_MS = 30_000;

export function createTerminal(out: NodeJS.WriteStream, nowMs: () => number): Terminal {
  const startMs = nowMs();
  let drawn = 0;
  let plainAtMs = Number.NEGATIVE_INFINITY;
  const erase = (): void => {
    if (drawn > 0) out.write(`\u001b[${drawn}A\u001b[0J`);
    drawn = 0;
  };
  return {
    say(line) {
      erase();
      const seconds = ((nowMs() - startMs) / 1000).toFixed(0).padStart(4);
      out.write(`${seconds} s  ${line}\n`);
    },
    draw(lines) {
      if (!out.isTTY) {
        if (nowMs() - plainAtMs < PLAIN_EVERY_MS) return;
        plainAtMs = nowMs();
        out.write(`${lines.join('\n')}\n`);
        return;
      }
      erase();
      const width = Math.max(40, out.columns ?? 120);
      // A wrapped line would make the block higher than it was counted.
      out.write(lines.map((line) => `${line.slice(0, width - 1)}\n`).join(''));
      drawn = lines.length;
    },
  };
}
