/**
 * `headroom-slice`: memory of one host for a VM of another, for those who want it. Input: arguments; output: a service that lends or
 * borrows, or a slice returned, and the exit code. A program of its own: the host agent's privileges do not cover what it does.
 */
import { mkdirSync, readdirSync, statfsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { UUID_SOURCE, type VmId, vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { numberAfter } from '../collectors/parse.ts';
import { type Command, runCommand } from '../commands.ts';
import type { LentState, SliceKind } from '../core/slice-state.ts';
import { exitCodeOf } from '../exit-codes.ts';
import { createLibvirtSliceDisks } from '../hypervisor/libvirt/slice-disks.ts';
import type { SliceDisks } from '../hypervisor/slice-disks.ts';
import { openNbdClient } from '../nbd/nbd-client.ts';
import { parseOptions } from '../options.ts';
import { connectTls, parseAddress, readKey } from '../psk-tls.ts';
import { randomSeed, readText, stdoutLogger, untilStopped } from '../service.ts';
import { startBorrower } from './borrower.ts';
import { startLender } from './lender.ts';
import { LentMemory } from './lent-memory.ts';
import { LentStorage, STORAGE_SUFFIX } from './lent-storage.ts';
import { returnSlice } from './return-slice.ts';
import { BORROW_OPTIONS, LEND_OPTIONS, RETURN_OPTIONS } from './slice-options.ts';
import { lentName, removeState, startTicks, writeState } from './state-files.ts';

const MIB = 1024 * 1024;
const TELL_MS = 2000;
/** A lender that has to zero its memory first may take longer: it is found ready the next time. */
const CONNECT_MS = 2000;
/** Memory answers at once; a disk that is busy does not. */
const DEADLINE_MS: Readonly<Record<SliceKind, number>> = { memory: 500, storage: 10_000 };
const UUID = new RegExp(`^${UUID_SOURCE}$`);

const COMMANDS: Record<string, Command> = {
  lend: { help: "lends this host's memory, or disk space, to a VM of another host", options: LEND_OPTIONS, run: lend },
  borrow: {
    help: 'gives a VM of this host a slice of memory of another, as a disk to swap to, or of its disk space',
    options: BORROW_OPTIONS,
    run: borrow,
  },
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
  const kind: SliceKind = config.storage === null ? 'memory' : 'storage';
  mustHave(sizeMiB, reserveMiB, config.storage);
  let borrower: string | null = null;
  let tell = (): void => undefined;
  const lender = await startLender({
    ...{ bytes: sizeMiB * MIB, listen, key, host: hostname() },
    lent: config.storage === null ? new LentMemory(sizeMiB * MIB) : new LentStorage(resolve(config.storage), sizeMiB * MIB),
    borrowerOf: (name) => borrowerOf(name, kind),
    onProblem: (problem) => log.error('what is lent cannot be served', { borrower, problem }),
    onChange(vm) {
      borrower = vm;
      log.info(vm === null ? 'nobody borrows' : 'borrowed', { vm });
      tell();
    },
  });
  const address = `${listen.host}:${lender.port}`;
  tell = () => {
    const state: LentState = {
      ...{
        kind: 'lent',
        of: kind,
        pid: process.pid,
        startTicks: startTicks('self') ?? 0,
        bootMs: systemClock.bootMs(),
        sizeMiB,
        address,
        borrower,
      },
    };
    writeState(stateDir, lentName(lender.port), state);
  };
  tell();
  const timer = systemClock.setInterval(tell, TELL_MS);
  log.info('lending', { address, sizeMiB, kind });
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
  const kind: SliceKind = config.storage ? 'storage' : 'memory';
  const disks = disksOf(config.connect, kind);
  const stateDir = resolve(config.stateDir);
  const over = Promise.withResolvers<number>();
  const borrower = await startBorrower({
    ...{ vm, kind, sizeMiB: config.sizeMiB, lenderAddress: config.from, disks, clock: systemClock, log },
    deadlineMs: config.deadlineMs ?? DEADLINE_MS[kind],
    connectLender: async () => openNbdClient(await connectTls(from, key, nameOf(vm, kind), CONNECT_MS)),
    stateFolder: config.stateDir,
    store: kind === 'storage' ? null : join(resolve(config.store), `${vm}.slice`),
    socket: join(stateDir, kind === 'storage' ? `${vm}.storage.sock` : `${vm}.sock`),
    socketGroupId: config.socketGroup === null ? null : groupIdIn(readText('/etc/group'), config.socketGroup),
    onOver: () => over.resolve(0),
  });
  return Promise.race([over.promise, untilStopped(log, () => borrower.stop())]);
}

async function giveBack(args: readonly string[]): Promise<number> {
  const config = await parseOptions(RETURN_OPTIONS, args, readConfig);
  const kind: SliceKind = config.storage ? 'storage' : 'memory';
  const disks = disksOf(config.connect, kind);
  try {
    const vm = vmId(given(config.vm, '--vm UUID'));
    console.log(await returnSlice({ vm, stateFolder: config.stateDir, disks, clock: systemClock, kind, unused: config.unused }));
    return 0;
  } finally {
    disks.close();
  }
}

/** Throws ENVIRONMENT. `storage`: the folder whose disk is lent; null = memory. */
function mustHave(sizeMiB: number, reserveMiB: number, storage: string | null): void {
  let availableMiB: number;
  if (storage === null) availableMiB = numberAfter(readText('/proc/meminfo'), 'MemAvailable') / 1024;
  else {
    mkdirSync(storage, { recursive: true, mode: 0o700 });
    // What was lent before has its space already.
    if (readdirSync(storage).some((file) => file.endsWith(STORAGE_SUFFIX))) return;
    const { bavail, bsize } = statfsSync(storage);
    availableMiB = (bavail * bsize) / MIB;
  }
  if (availableMiB - sizeMiB >= reserveMiB) return;
  throw new HeadroomError(
    'ENVIRONMENT',
    `${sizeMiB} MiB cannot be lent: ${availableMiB.toFixed(0)} MiB are available, of which ${reserveMiB} MiB are kept (--reserve-mib)`,
  );
}

/** By the name it gives itself a borrower says what it wants: memory taken for storage would lose what is written to it. */
const nameOf = (vm: VmId, kind: SliceKind): string => (kind === 'memory' ? vm : `${kind}/${vm}`);

function borrowerOf(name: string, kind: SliceKind): string | null {
  const vm = name.slice(name.indexOf('/') + 1);
  return UUID.test(vm) && name === nameOf(vmId(vm), kind) ? vm : null;
}

const disksOf = (uri: string, kind: SliceKind): SliceDisks =>
  createLibvirtSliceDisks({ uri, clock: systemClock, prng: createPrng(randomSeed()) }, kind);

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

const PROGRAM = { name: 'headroom-slice', about: 'memory and disk space of one host for a VM of another.', commands: COMMANDS };

exitCodeOf(runCommand(PROGRAM, process.argv.slice(2)), PROGRAM.name).then((code) => process.exit(code));
