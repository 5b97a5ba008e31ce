/**
 * `headroom-slice`: memory of one host for a VM of another, for those who want it. Input: arguments; output: a service that lends or
 * borrows, or a slice returned, and the exit code. A program of its own: the host agent's privileges do not cover what it does.
 */
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { UUID_SOURCE, vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { numberAfter } from '../collectors/parse.ts';
import type { LentState } from '../core/slice-state.ts';
import { EXIT_USAGE, exitCodeOf } from '../exit-codes.ts';
import { createLibvirtSliceDisks } from '../hypervisor/libvirt/slice-disks.ts';
import type { SliceDisks } from '../hypervisor/slice-disks.ts';
import { openNbdClient } from '../nbd/nbd-client.ts';
import { type Options, optionHelp, parseOptions } from '../options.ts';
import { connectTls, parseAddress, readKey } from '../psk-tls.ts';
import { randomSeed, readText, stdoutLogger, untilStopped } from '../service.ts';
import { VERSION } from '../version.ts';
import { startBorrower } from './borrower.ts';
import { startLender } from './lender.ts';
import { storePath } from './local-copy.ts';
import { returnSlice } from './return-slice.ts';
import { BORROW_OPTIONS, LEND_OPTIONS, RETURN_OPTIONS } from './slice-options.ts';
import { lentName, removeState, startTicks, writeState } from './state-files.ts';

const MIB = 1024 * 1024;
const TELL_MS = 2000;
/** A lender that has to zero its memory first may take longer: it is found ready the next time. */
const CONNECT_MS = 2000;
const UUID = new RegExp(`^${UUID_SOURCE}$`);

interface Command {
  help: string;
  options: Options;
  run: (args: readonly string[]) => Promise<number>;
}

const COMMANDS: Record<string, Command> = {
  lend: { help: "lends this host's memory to a VM of another host", options: LEND_OPTIONS, run: lend },
  borrow: { help: 'gives a VM of this host a slice of memory of another, as a disk to swap to', options: BORROW_OPTIONS, run: borrow },
  return: { help: 'takes the slice back from the VM', options: RETURN_OPTIONS, run: giveBack },
};

async function readConfig(path: string): Promise<unknown> {
  const { parse } = await import('yaml');
  return parse(readText(path));
}

async function lend(args: readonly string[]): Promise<number> {
  const config = await parseOptions(LEND_OPTIONS, args, readConfig);
  const { sizeMiB, reserveMiB, stateDir } = config;
  const log = stdoutLogger(config.logLevel);
  const listen = parseAddress(config.listen);
  const key = readKey(given(config.key, '--key FILE'));
  const availableMiB = numberAfter(readText('/proc/meminfo'), 'MemAvailable') / 1024;
  if (!(availableMiB - sizeMiB >= reserveMiB)) {
    throw new HeadroomError(
      'ENVIRONMENT',
      `${sizeMiB} MiB cannot be lent: ${availableMiB.toFixed(0)} MiB are available, of which ${reserveMiB} MiB are kept (--reserve-mib)`,
    );
  }
  let borrower: string | null = null;
  let tell = (): void => undefined;
  const lender = await startLender({
    ...{ bytes: sizeMiB * MIB, listen, key, host: hostname(), isName: (name) => UUID.test(name) },
    onChange(vm) {
      borrower = vm;
      log.info(vm === null ? 'nobody borrows' : 'borrowed', { vm });
      tell();
    },
  });
  const address = `${listen.host}:${lender.port}`;
  tell = () => {
    const state: LentState = {
      ...{ kind: 'lent', pid: process.pid, startTicks: startTicks('self') ?? 0, bootMs: systemClock.bootMs(), sizeMiB, address, borrower },
    };
    writeState(stateDir, lentName(lender.port), state);
  };
  tell();
  const timer = systemClock.setInterval(tell, TELL_MS);
  log.info('lending', { address, sizeMiB });
  return untilStopped(log, async () => {
    timer.cancel();
    await lender.close();
    removeState(stateDir, lentName(lender.port));
  });
}

async function borrow(args: readonly string[]): Promise<number> {
  const config = await parseOptions(BORROW_OPTIONS, args, readConfig);
  const log = stdoutLogger(config.logLevel);
  const vm = vmId(given(config.vm, '--vm UUID'));
  const key = readKey(given(config.key, '--key FILE'));
  const from = parseAddress(config.from);
  const disks = disksOf(config.connect);
  const over = Promise.withResolvers<number>();
  const borrower = await startBorrower({
    ...{ vm, sizeMiB: config.sizeMiB, lenderAddress: config.from, disks, clock: systemClock, log, deadlineMs: config.deadlineMs },
    connectLender: async () => openNbdClient(await connectTls(from, key, vm, CONNECT_MS)),
    stateFolder: config.stateDir,
    store: storePath(resolve(config.store), vm),
    socket: join(resolve(config.stateDir), `${vm}.sock`),
    socketGroupId: config.socketGroup === null ? null : groupIdIn(readText('/etc/group'), config.socketGroup),
    onOver: () => over.resolve(0),
  });
  return Promise.race([over.promise, untilStopped(log, () => borrower.stop())]);
}

async function giveBack(args: readonly string[]): Promise<number> {
  const config = await parseOptions(RETURN_OPTIONS, args, readConfig);
  const disks = disksOf(config.connect);
  try {
    const vm = vmId(given(config.vm, '--vm UUID'));
    console.log(await returnSlice({ vm, stateFolder: config.stateDir, disks, clock: systemClock, unused: config.unused }));
    return 0;
  } finally {
    disks.close();
  }
}

const disksOf = (uri: string): SliceDisks => createLibvirtSliceDisks({ uri, clock: systemClock, prng: createPrng(randomSeed()) });

/** `groups`: as /etc/group holds them. Throws CONFIG_INVALID. */
function groupIdIn(groups: string, name: string): number {
  const line = groups.split('\n').find((each) => each.startsWith(`${name}:`));
  if (line === undefined) throw new HeadroomError('CONFIG_INVALID', `socketGroup = "${name}": /etc/group has no such group`);
  return Number(line.split(':')[2]);
}

function given(value: string | null, what: string): string {
  if (value === null) throw new HeadroomError('USAGE', `${what} is missing`);
  return value;
}

function help(name: string | undefined): string {
  const command = name === undefined ? undefined : COMMANDS[name];
  if (command) return `headroom-slice ${name}: ${command.help}\n\n${optionHelp(command.options)}`;
  const rows = Object.entries(COMMANDS).map(([key, { help: words }]) => `  ${key.padEnd(10)}${words}`);
  rows.push('  version   the version');
  return [`headroom-slice ${VERSION}: memory of one host for a VM of another.`, '', ...rows, '', 'COMMAND --help lists its options.'].join(
    '\n',
  );
}

async function run([name = 'help', ...rest]: readonly string[]): Promise<number> {
  if (name === 'help' || name === '--help' || rest.includes('--help')) {
    console.log(help(name === 'help' ? rest[0] : name));
    return 0;
  }
  if (name === 'version' || name === '--version') {
    console.log(VERSION);
    return 0;
  }
  const command = COMMANDS[name];
  if (command) return command.run(rest);
  console.error(`headroom-slice: unknown command "${name}"\n\n${help(undefined)}`);
  return EXIT_USAGE;
}

exitCodeOf(run(process.argv.slice(2)), 'headroom-slice').then((code) => process.exit(code));
