/**
 * `npm run demo`: the main job on this machine, end to end. Input: arguments, signals; output: lines, a live table, with
 * `--check` the verdict's JSON as the last line; exit code 0 passed or ended by request, 1 a rule failed or something broke,
 * 64 wrong usage, 69 this machine cannot run it, 130 interrupted.
 */
import { writeSync } from 'node:fs';
import { errorText, HeadroomError, isHeadroomError } from '../shared/errors.ts';
import { freePort } from './machine/free-port.ts';
import { remains, remainsOfServices } from './machine/remains.ts';
import { type DemoOptions, HELP, parseOptions } from './options.ts';
import { announce, realStage } from './real-stage.ts';
import { type Verdict, verdictJson, verdictLines } from './report.ts';
import { runOnStage } from './run.ts';
import { RunDirectory } from './run-directory.ts';
import { judge } from './scoring/judge.ts';
import { simulatedStage } from './simulated-stage.ts';
import { Teardown } from './teardown.ts';
import { createTerminal, type Terminal } from './terminal.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;
const EXIT_INTERRUPTED = 130;

/** Signals end the run in order: they only raise a flag that every step looks at. */
function createInterrupt(terminal: Terminal): { checkpoint: () => void } {
  let interrupted = false;
  const raise = (): void => {
    if (!interrupted) terminal.say('stopping: removing guests and ending services (this takes a few seconds)');
    interrupted = true;
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, raise);
  return {
    checkpoint() {
      if (interrupted) throw new HeadroomError('CANCELLED', 'interrupted');
    },
  };
}

/** Undoes everything and looks whether anything is left; answers what went wrong. */
async function end(teardown: Teardown, run: RunDirectory, terminal: Terminal, simulated: boolean): Promise<string[]> {
  const failures = await teardown.run();
  const left = simulated ? remainsOfServices(run.path) : await remains(run.path);
  if (failures.length === 0 && left.length === 0) {
    terminal.say('everything is torn down: no domain, control group, process or file outside the cache is left');
  }
  return [...failures, ...left.map((what) => `left behind: ${what}`)];
}

async function play(options: DemoOptions, terminal: Terminal): Promise<number> {
  const { checkpoint } = createInterrupt(terminal);
  if (!options.simulated) await announce((line) => terminal.say(line));
  const port = await freePort(options.port);
  const teardown = new Teardown();
  const run = new RunDirectory(options.simulated ? 'simulated' : 'real');
  teardown.add('remove the run directory', () => run.remove());
  let verdict: Verdict | null = null;
  let code = 0;
  try {
    const setting = { terminal, teardown, run, port, checkpoint };
    const stage = options.simulated ? await simulatedStage(setting) : await realStage(setting);
    const played = await runOnStage({ minutes: options.check ? options.minutes : null, stage, terminal, checkpoint });
    const { series, ledger } = await stage.records();
    verdict = await judge(series, ledger, played);
  } catch (error) {
    if (isHeadroomError(error, 'CANCELLED')) code = options.check ? EXIT_INTERRUPTED : 0;
    else {
      terminal.say(errorText(error));
      code = isHeadroomError(error, 'ENVIRONMENT') ? EXIT_UNAVAILABLE : EXIT_FAILED;
    }
  }
  if (options.keep) terminal.say(`left running as asked, in ${run.path}; the next run removes it`);
  else {
    const problems = await end(teardown, run, terminal, options.simulated);
    for (const problem of problems) terminal.say(problem);
    if (problems.length > 0) {
      verdict?.broken.push(...problems);
      code ||= EXIT_FAILED;
    }
  }
  if (verdict === null) return code;
  for (const line of verdictLines(verdict)) console.log(line);
  // Written at once: a pipe would lose the last line of a process that exits.
  writeSync(1, `${verdictJson(verdict)}\n`);
  return verdict.broken.length === 0 ? code : EXIT_FAILED;
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  return play(
    options,
    createTerminal(process.stdout, () => performance.now()),
  );
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(`demo: ${errorText(error)}`);
    const usage = isHeadroomError(error, 'USAGE');
    process.exit(usage ? EXIT_USAGE : isHeadroomError(error, 'ENVIRONMENT') ? EXIT_UNAVAILABLE : EXIT_FAILED);
  },
);
