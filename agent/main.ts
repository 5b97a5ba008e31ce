/**
 * `headroom-agent`: where the program begins. Input: arguments; output: the service, or a one-shot command's lines, and the
 * exit code (0 done, 1 not all done, 64 wrong usage, 69 something is away). A plain guest agent is loaded by itself: inside
 * a guest every MiB is the tenant's, and even the text of the other roles would take some of them.
 */
import { exitCodeOf } from './exit-codes.ts';

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === 'guest') {
    const { runGuest, runsLean } = await import('./guest-program.ts');
    if (runsLean(args.slice(1))) return exitCodeOf(runGuest(args.slice(1), null));
  }
  const { run } = await import('./programs.ts');
  return run(args);
}

main(process.argv.slice(2)).then((code) => process.exit(code));
