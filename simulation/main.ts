/**
 * `headroom simulate`: a fleet from one seed, with faults, checked at every instant. Input: flags; output: progress and a
 * verdict on stderr, with `--json` one object as the last line of stdout; exit 0 only if nothing broke and all converged.
 */
import { parseArgs } from 'node:util';
import { HeadroomError } from '../shared/errors.ts';
import { FAULT_KINDS, parseFaults } from './faults.ts';
import { PACES, type PaceName } from './paces.ts';
import { simulateInThread } from './thread.ts';
import type { SimulationReport } from './world.ts';

export const SIMULATE_HELP = `headroom simulate: run a simulated fleet from one seed and check it at every instant

  --seed N       seed of everything (default 1); the same seed gives the same run
  --hosts H      hosts (default 4)
  --vms V        VMs in all (default 40)
  --hours T      simulated hours before faults are healed (default 12)
  --faults LIST  all, none, or names with commas between: ${FAULT_KINDS.join(', ')} (default all)
  --pace PACE    how often agents look and plans are made, and how long a day is: ${Object.keys(PACES).join(', ')}
                 (default by VM-hours: fine below 200, coarse from 10000, else medium)
  --json         one object as the last line of stdout
`;

export interface SimulateIo {
  out: (line: string) => void;
  err: (line: string) => void;
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new HeadroomError('USAGE', `--${name} ${text}: a whole number from ${least} to ${most} is needed`);
  }
  return value;
}

function optionsOf(argv: readonly string[]) {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seed: { type: 'string', default: '1' },
      hosts: { type: 'string', default: '4' },
      vms: { type: 'string', default: '40' },
      hours: { type: 'string', default: '12' },
      faults: { type: 'string', default: 'all' },
      pace: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const faults = parseFaults(values.faults);
  if ('unknown' in faults)
    throw new HeadroomError('USAGE', `--faults: "${faults.unknown}" is not a fault; there are ${FAULT_KINDS.join(', ')}`);
  const { pace } = values;
  if (pace !== undefined && !Object.hasOwn(PACES, pace))
    throw new HeadroomError('USAGE', `--pace ${pace}: there are ${Object.keys(PACES).join(', ')}`);
  const hosts = wholeNumber('hosts', values.hosts, 1, 1000);
  return {
    help: values.help,
    json: values.json,
    simulation: {
      seed: wholeNumber('seed', values.seed, 0, Number.MAX_SAFE_INTEGER),
      hosts,
      vms: wholeNumber('vms', values.vms, hosts, 100_000),
      hours: wholeNumber('hours', values.hours, 1, 100_000),
      faults,
      pace: pace as PaceName | undefined,
    },
  };
}

/** Returns the exit code. Throws USAGE for flags that make no sense. */
export async function simulateCommand(argv: readonly string[], io: SimulateIo): Promise<number> {
  const { help, json, simulation } = optionsOf(argv);
  if (help) {
    io.out(SIMULATE_HELP);
    return 0;
  }
  const startedMs = performance.now();
  const every = Math.max(1, Math.floor(simulation.hours / 12));
  const report = await simulateInThread(simulation, (hours) => {
    if (hours % every === 0)
      io.err(`simulated ${hours} of ${simulation.hours} hours in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  });
  const wallSeconds = Number(((performance.now() - startedMs) / 1000).toFixed(1));
  tell(report, wallSeconds, io);
  if (json) io.out(JSON.stringify({ ...report, wallSeconds }));
  return report.brokenInvariants.length === 0 && report.converged && report.restored ? 0 : 1;
}

function tell(report: SimulationReport, wallSeconds: number, io: SimulateIo): void {
  const { seed, hosts, vms, simulatedHours, steps, changesApplied, brokenInvariants, converged, restored } = report;
  io.err(
    `seed ${seed}: ${hosts} hosts, ${vms} VMs, ${simulatedHours} h in ${wallSeconds} s; ${steps} changes planned, ${changesApplied} applied`,
  );
  io.err(
    `faults: ${Object.entries(report.faultsInjected)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', ')}`,
  );
  for (const { rule, atMs, message } of brokenInvariants) io.err(`BROKEN ${rule} at ${(atMs / 60_000).toFixed(1)} min: ${message}`);
  io.err(converged ? 'converged after healing' : 'NOT converged after healing');
  io.err(restored ? 'restore put everything back' : 'restore did NOT put everything back');
}
