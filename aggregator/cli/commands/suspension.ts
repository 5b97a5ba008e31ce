/**
 * `headroom suspend|resume VM`, `snapshot list|tiers|verify|gc`, `prefetch start|stop|status`: VMs put aside and brought back. An order is
 * followed until it has ended, with a bar where bytes are moved.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { SnapshotStoreAnswer, SuspendOrderAnswer, SuspensionAnswer } from '../answers.ts';
import type { ApiCommand, CommandContext, OptionSpec } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, table } from '../output.ts';
import { pause } from '../pause.ts';
import { utc } from '../words.ts';
import { DRY_RUN, isDryRun } from './dry-run.ts';
import { show } from './show.ts';

const LOOK_MS = 250;
const WAIT_SECONDS = 600;
const BAR_CHARACTERS = 24;
const MIB = 1024 * 1024;

const TO_HELP = 'there; `any`: one with room now and by forecast, to which least must move';

const WAIT: Readonly<Record<string, OptionSpec>> = {
  wait: { type: 'string', value: 'SECONDS', help: `how long to wait for it (default ${WAIT_SECONDS})` },
  'no-wait': { type: 'boolean', help: 'only ask for it' },
};

const mib = (bytes: number): string => (bytes / MIB).toFixed(0);
const percent = (share: number | null): string => (share === null ? '?' : `${(share * 100).toFixed(0)} %`);

/** `[######....] 40 % of 512 MiB, 3 s left` */
export function bar({ doneBytes, totalBytes, restMs }: NonNullable<SuspendOrderAnswer['progress']>): string {
  const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
  const full = Math.round(share * BAR_CHARACTERS);
  const left = restMs === null ? '' : `, ${Math.ceil(restMs / 1000)} s left`;
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CHARACTERS - full)}] ${percent(share)} of ${mib(totalBytes)} MiB${left}`;
}

async function now({ api }: CommandContext, order: SuspendOrderAnswer): Promise<SuspendOrderAnswer> {
  return (await api.get('/v1/suspensions/orders', { query: { id: order.id } })).items[0] ?? order;
}

/** Resolves with the order as it ended, or the last of those that came of it. */
async function followed(context: CommandContext, asked: SuspendOrderAnswer): Promise<SuspendOrderAnswer> {
  const { io, values } = context;
  const waitSeconds = Number(values.wait ?? WAIT_SECONDS);
  if (!(waitSeconds >= 1 && waitSeconds <= 86_400))
    throw new HeadroomError('USAGE', `--wait ${values.wait}: seconds from 1 to 86400 are needed`);
  const untilMs = io.clock.monotonicMs() + waitSeconds * 1000;
  let order = asked;
  let drawn = false;
  while (order.state === 'working') {
    if (order.progress !== null && io.terminal) {
      io.err(`\r${bar(order.progress)}   `);
      drawn = true;
    }
    if (io.clock.monotonicMs() >= untilMs)
      throw new HeadroomError('TIMEOUT', `it is still under way after ${waitSeconds} s; headroom prefetch status shows it`);
    await pause(io, LOOK_MS);
    if (io.stop.aborted) throw new HeadroomError('CANCELLED', 'interrupted; the host goes on with it: headroom prefetch status shows it');
    order = await now(context, order);
    // Lent, it is brought back by another order; what failed there may be brought back where it was.
    while (order.followedBy !== null) order = await now(context, { ...order, id: order.followedBy });
  }
  if (drawn) io.err('\n');
  return order;
}

function ended(order: SuspendOrderAnswer): string {
  const measured = Object.entries(order.measured).map(([name, value]) =>
    name.startsWith('bytes')
      ? `${name.slice(5).toLowerCase()} ${mib(Number(value))} MiB`
      : `${name} ${typeof value === 'number' ? Math.round(value) : value}`,
  );
  const facts = measured.length === 0 ? '' : ` (${measured.join(', ')})`;
  return `${order.vmName ?? order.host}: ${order.action} ${order.outcome ?? (order.state === 'tried' ? 'possible, not asked for' : 'asked for')}${facts}${order.reason === '' ? '' : `: ${printable(order.reason)}`}\n`;
}

/** Why that host, and why not the others. */
function placed({ placement }: SuspendOrderAnswer): string {
  if (placement === null) return '';
  return `on ${printable(placement.reason)}\n${placement.others.map(({ host, reason }) => `  not ${host}: ${printable(reason)}\n`).join('')}`;
}

async function carryOut(context: CommandContext, asking: Promise<SuspendOrderAnswer>): Promise<number> {
  context.io.catchInterrupts();
  const asked = await asking;
  const order = context.values['no-wait'] === true ? asked : await followed(context, asked);
  show(context, order, () => placed(asked) + ended(order));
  return order.outcome === null || order.outcome === 'applied' ? EXIT.ok : EXIT.failed;
}

const vmOf = ({ positionals }: CommandContext): { path: { id: string } } => ({ path: { id: positionals[0] ?? '' } });
const common = { kind: 'api', args: ['VM'], watches: 'never', options: WAIT } as const;

export const suspendVm: ApiCommand = {
  ...common,
  name: 'suspend',
  summary: "puts a VM aside: memory and devices to its host's snapshot store",
  details: 'Where its host cannot, libvirt saves it, and the reason is told. Ends with 1 when the VM goes on running.',
  run: (context) => carryOut(context, context.api.send('post', '/v1/vms/{id}/suspend', vmOf(context))),
};

export const resumeVm: ApiCommand = {
  ...common,
  name: 'resume',
  summary: 'brings a suspended VM back as it was',
  details:
    'On another host it runs as soon as what it touches first is there; the rest of its memory follows. Where that host cannot, it is ' +
    'brought back where it was suspended.',
  options: {
    ...WAIT,
    ...DRY_RUN,
    to: { type: 'string', value: 'HOST', help: TO_HELP },
  },
  run(context) {
    const { to } = context.values;
    const query = { ...(typeof to === 'string' ? { to } : {}), dryRun: isDryRun(context) };
    return carryOut(context, context.api.send('post', '/v1/vms/{id}/resume', { ...vmOf(context), query }));
  },
};

type OwnDisk = NonNullable<SuspensionAnswer['disks']>[number];

function ownDisk({ target, state, leftBytes, restMs, hitRate }: OwnDisk): string {
  const left =
    leftBytes === undefined ? '' : ` (${mib(leftBytes)} MiB left${restMs === undefined ? '' : `, ${Math.ceil(restMs / 1000)} s`})`;
  return `${target} ${state}${left}${hitRate === undefined ? '' : ` (${Math.round(hitRate * 100)} % of its first reads predicted)`}`;
}

const COLUMNS: readonly Column<SuspensionAnswer>[] = [
  { title: 'VM', text: ({ name }) => name },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'PHASE', text: ({ phase, from, lentTo }) => `${phase}${from ? ` (from ${from})` : ''}${lentTo ? ` (lent to ${lentTo})` : ''}` },
  { title: 'SINCE', text: ({ sinceMs }) => utc(sinceMs) },
  { title: 'BY', text: ({ recipe }) => recipe },
  { title: 'FILLED MIB', right: true, text: ({ filledBytes }) => mib(filledBytes) },
  { title: 'PREDICTED MIB', right: true, text: ({ predictedChunks }) => mib(predictedChunks * 65_536) },
  { title: 'HIT', right: true, text: ({ hitRate }) => percent(hitRate) },
  { title: 'WASTE', right: true, text: ({ wasteRate }) => percent(wasteRate) },
  { title: 'PROBLEMS', text: ({ problems }) => problems.join('; ') },
  { title: 'NEXT WANTED', text: ({ prediction }) => (prediction?.likeliestAtMs == null ? '?' : utc(prediction.likeliestAtMs)) },
  { title: 'MADE READY', wide: true, text: ({ tuning }) => tuning?.text ?? '' },
  { title: 'OWN DISKS', wide: true, text: ({ disks = [] }) => disks.map(ownDisk).join(', ') },
  { title: 'SNAPSHOT', wide: true, text: ({ snapshot }) => snapshot ?? '' },
  { title: 'WHY', wide: true, text: ({ reason }) => reason },
];

export const snapshotList: ApiCommand = {
  kind: 'api',
  name: 'snapshot list',
  summary: 'VMs that are suspended or live on a snapshot',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/suspensions');
    const { items: stores } = await context.api.get('/v1/suspensions/stores');
    const rows = tierRows(stores);
    const places = (wide: boolean): string => (rows.length === 0 ? '' : `\n${table(rows, TIERS, wide)}`);
    show(context, items, (wide) => `${items.length === 0 ? 'no VM is suspended\n' : table(items, COLUMNS, wide)}${places(wide)}`);
    return EXIT.ok;
  },
};

interface TierRow extends Omit<SnapshotStoreAnswer['tiers'][number], 'kind'> {
  host: string;
  kind: string;
}

const perSecond = (bytes: number | null): string => (bytes === null ? '?' : mib(bytes));
const TIERS: readonly Column<TierRow>[] = [
  { title: 'HOST', text: ({ host }) => host },
  { title: 'PLACE', text: ({ name }) => name },
  { title: 'KIND', text: ({ kind }) => kind },
  { title: 'USED MIB', right: true, text: ({ usedBytes }) => mib(usedBytes) },
  { title: 'OF MIB', right: true, text: ({ capacityBytes }) => (capacityBytes === null ? '-' : mib(capacityBytes)) },
  { title: 'READ MIB/S', right: true, text: ({ readBytesPerSecond }) => perSecond(readBytesPerSecond) },
  { title: 'WRITE MIB/S', right: true, text: ({ writeBytesPerSecond }) => perSecond(writeBytesPerSecond) },
  { title: 'PROBLEM', text: ({ problem }) => problem ?? '' },
];

/** A host without tiers has one place, which has no name and no limit. */
function tierRows(stores: readonly SnapshotStoreAnswer[]): TierRow[] {
  const one = {
    name: 'snapshotDir',
    kind: 'disk',
    capacityBytes: null,
    readBytesPerSecond: null,
    writeBytesPerSecond: null,
    problem: null,
  };
  return stores.flatMap(({ host, storedBytes, tiers }): TierRow[] =>
    tiers.length === 0 ? [{ host, ...one, usedBytes: storedBytes }] : tiers.map((tier) => ({ host, ...tier })),
  );
}

export const snapshotTiers: ApiCommand = {
  kind: 'api',
  name: 'snapshot tiers',
  summary: 'where hosts keep snapshots: what each place holds, may hold, and how quick it was',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/suspensions/stores');
    const rows = tierRows(items);
    show(context, items, (wide) => (rows.length === 0 ? 'no host keeps snapshots\n' : table(rows, TIERS, wide)));
    return EXIT.ok;
  },
};

export const snapshotVerify: ApiCommand = {
  ...common,
  name: 'snapshot verify',
  summary: "reads every byte of a VM's snapshot; ends with 1 when one is not as it was written",
  run: (context) => carryOut(context, context.api.send('post', '/v1/vms/{id}/snapshot/verify', vmOf(context))),
};

export const snapshotGc: ApiCommand = {
  kind: 'api',
  name: 'snapshot gc',
  summary: 'removes what no VM needs from the snapshot stores of all hosts, or of one',
  args: ['[HOST]'],
  watches: 'never',
  options: WAIT,
  async run(context) {
    const [host] = context.positionals;
    const body = host === undefined ? {} : { host };
    const asked = await context.api.send('post', '/v1/suspensions/collect', { body });
    const done = context.values['no-wait'] === true ? asked.items : await Promise.all(asked.items.map((order) => followed(context, order)));
    show(context, done, () => (done.length === 0 ? 'no host keeps snapshots\n' : done.map(ended).join('')));
    return done.every(({ outcome }) => outcome === null || outcome === 'applied') ? EXIT.ok : EXIT.failed;
  },
};

export const prefetchStart: ApiCommand = {
  ...common,
  name: 'prefetch start',
  summary: 'fetches what a suspended VM will touch first, and has it wait, paused',
  options: {
    ...WAIT,
    ...DRY_RUN,
    hold: { type: 'string', value: 'SECONDS', help: 'it waits no longer (default 600)' },
    rate: { type: 'string', value: 'MIB', help: 'at most so many MiB a second' },
    deadline: { type: 'string', value: 'SECONDS', help: 'given up if it is not ready by then' },
    priority: { type: 'string', value: 'N', help: "of several the highest goes first (default: the VM's own by the policy)" },
    to: { type: 'string', value: 'HOST', help: TO_HELP },
  },
  async run(context) {
    const { hold = '600', rate, deadline, priority, to } = context.values;
    const [holdSeconds, rateMiB, deadlineSeconds] = [Number(hold), Number(rate), Number(deadline)];
    if (!(holdSeconds >= 1)) throw new HeadroomError('USAGE', `--hold ${String(hold)}: seconds, at least 1, are needed`);
    if (rate !== undefined && !(rateMiB > 0)) throw new HeadroomError('USAGE', `--rate ${String(rate)}: MiB a second are needed`);
    if (deadline !== undefined && !(deadlineSeconds > 0))
      throw new HeadroomError('USAGE', `--deadline ${String(deadline)}: seconds from now are needed`);
    if (priority !== undefined && !/^\d{1,7}$/.test(String(priority)))
      throw new HeadroomError('USAGE', `--priority ${String(priority)}: a whole number from 0 to 1000000 is needed`);
    const body = {
      holdSeconds,
      ...(priority === undefined ? {} : { priority: Number(priority) }),
      ...(rate === undefined ? {} : { bytesPerSecondMax: rateMiB * MIB }),
      ...(deadline === undefined ? {} : { deadlineSeconds }),
      ...(typeof to === 'string' ? { to } : {}),
    };
    return carryOut(
      context,
      context.api.send('put', '/v1/vms/{id}/prefetch', { ...vmOf(context), body, query: { dryRun: isDryRun(context) } }),
    );
  },
};

export const prefetchStop: ApiCommand = {
  ...common,
  name: 'prefetch stop',
  summary: 'a VM that waits for its resume need not wait any more',
  run: (context) => carryOut(context, context.api.send('delete', '/v1/vms/{id}/prefetch', vmOf(context))),
};

function progressWords({ progress, ahead }: SuspendOrderAnswer): string {
  const words = [...(progress === null ? [] : [bar(progress)]), ...(ahead === 0 ? [] : [`${ahead} ahead of it`])];
  return words.join(', ');
}

const ORDERS: readonly Column<SuspendOrderAnswer>[] = [
  { title: 'VM', text: ({ vmName, vm, host }) => vmName ?? vm ?? host },
  { title: 'ORDER', text: ({ action }) => action },
  { title: 'ASKED', text: ({ askedAtMs }) => utc(askedAtMs) },
  { title: 'BY', text: ({ by }) => by },
  { title: 'STATE', text: ({ outcome }) => outcome ?? 'working' },
  { title: 'PRIORITY', right: true, text: ({ priority }) => priority?.toString() ?? '' },
  { title: 'DUE', text: ({ dueAtMs }) => (dueAtMs === null ? '' : utc(dueAtMs)) },
  { title: 'PROGRESS', text: progressWords },
  { title: 'WHY', text: ({ reason }) => reason },
];

export const prefetchStatus: ApiCommand = {
  kind: 'api',
  name: 'prefetch status',
  summary: 'orders about suspended VMs, and how far each is',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/suspensions/orders', {});
    show(context, items, (wide) => (items.length === 0 ? 'nothing was ordered\n' : table(items, ORDERS, wide)));
    return EXIT.ok;
  },
};
