/** The demo's command line. Input: arguments; output: options; USAGE, naming the argument, for anything else. Pure. */
import { parseArgs } from 'node:util';
import { AGGREGATOR_PORT } from '../shared/aggregator-address.ts';
import { HeadroomError } from '../shared/errors.ts';

export interface DemoOptions {
  help: boolean;
  /** Unattended: run for `minutes`, tear down, judge. */
  check: boolean;
  minutes: number;
  simulated: boolean;
  /** Leave guests and services running at the end. */
  keep: boolean;
  /** Port of API and page; 0 = any free one. */
  port: number;
}

/** Seven days of 100 s: two to learn, five to judge. */
const MINUTES_DEFAULT = 12;
/** Two days to learn and one to judge is the least that can pass. */
export const MINUTES_MIN = 6;

export const HELP = `Headroom's main job on this machine: real guests, a repeating load, allocations that are there before demand is.

  npm run demo                                  until Ctrl-C, with a live table and a page in the browser
  npm run demo -- --check --minutes 12          unattended; judges itself, prints JSON last, exit code 0 = passed
  npm run demo -- --simulated                   the same on a simulated hypervisor: no root, no libvirt, any machine

  --check        run unattended for --minutes, tear everything down and judge
  --minutes M    minutes from the moment all agents are connected (default ${MINUTES_DEFAULT}, at least ${MINUTES_MIN})
  --simulated    simulated hypervisor instead of libvirt and QEMU
  --port N       port of API and page on 127.0.0.1 (default ${AGGREGATOR_PORT}; 0 = any)
  --keep         leave guests and services running at the end, for a look around
  --help         this text

Real guests need root on Debian or Ubuntu (x86-64). Packages that are missing are named and installed by apt: libvirt, QEMU,
busybox. libvirtd is started if it is not running, and stopped at the end. Downloads and the guest image are cached in
HEADROOM_CACHE, else ~/.cache/headroom. Everything listens on loopback only.
`;

function wholeNumber(text: string, name: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new HeadroomError('USAGE', `--${name} must be a whole number from ${min} to ${max}, not "${text}"`);
  }
  return value;
}

export function parseOptions(args: readonly string[]): DemoOptions {
  let values: Record<string, string | boolean | undefined>;
  try {
    values = parseArgs({
      args: [...args],
      strict: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        check: { type: 'boolean' },
        minutes: { type: 'string' },
        simulated: { type: 'boolean' },
        keep: { type: 'boolean' },
        port: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new HeadroomError('USAGE', `${error instanceof Error ? error.message : String(error)}; see npm run demo -- --help`, {
      cause: error,
    });
  }
  return {
    help: values.help === true,
    check: values.check === true,
    minutes: wholeNumber(String(values.minutes ?? MINUTES_DEFAULT), 'minutes', MINUTES_MIN, 24 * 60),
    simulated: values.simulated === true,
    keep: values.keep === true,
    port: wholeNumber(String(values.port ?? AGGREGATOR_PORT), 'port', 0, 65_535),
  };
}
