/**
 * Goal: the aggregator is away for an hour at 1 Hz and nothing is lost: rows go to the disk ring, come back in order on the
 * backlog lane, and live rows are never late for it; a kill -9 in the midst costs seconds, a full disk costs what memory
 * cannot hold and says so. Real host agent loops on simulated time, real files.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createBlockPacking } from '../../agent/block-packing.ts';
import { createSpill } from '../../agent/core/create-spill.ts';
import { DISK_RING_LIMITS } from '../../agent/core/disk-ring.ts';
import { HOST_BUFFER_LIMITS } from '../../agent/core/sample-buffer.ts';
import { openSpill } from '../../agent/spill.ts';
import { vmId } from '../../shared/ids.ts';
import { type AgentWorld, agentWorld, calmVm } from '../support/agent-world.ts';
import { MemorySegmentFiles } from '../support/segment-files.ts';

const VMS = Array.from({ length: 10 }, (_, i) => calmVm(vmId(`00000000-0000-4000-8000-0000000000${10 + i}`)));
const SERIES = VMS.length + 1;

function directory(t: { teardown(run: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'headroom-ring-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const bytesIn = (path: string): number => readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);

/** Distinct times of one series as they arrived, in the order of arrival. */
function timesOf(world: AgentWorld, id: string): number[] {
  const seen = new Set<number>();
  for (const { blocks } of world.heard)
    for (const block of blocks) if (block.subject.id === id) for (const time of block.timesMs) seen.add(time);
  return [...seen];
}

/** Seconds of a series that are missing between its first and last row. */
function holes(world: AgentWorld, id: string): number {
  const times = timesOf(world, id).sort((a, b) => a - b);
  return (times.at(-1)! - times[0]!) / 1000 + 1 - times.length;
}

t.test('an hour away: everything arrives, in order, and live rows are not late', async (t) => {
  const path = directory(t);
  const world = await agentWorld(VMS, {}, undefined, () => openSpill(path, 64, HOST_BUFFER_LIMITS));
  await world.run(30);
  t.equal(readdirSync(path).length, 0, 'nothing goes to disk while all is well');
  world.setPartitioned(true);
  await world.run(3600);
  const away = world.agent.metrics();
  t.comment(`${bytesIn(path)} bytes on disk, ${away.ring_rows} rows: ${(bytesIn(path) / away.ring_rows!).toFixed(0)} bytes a row`);
  t.ok(away.ring_rows! > 3500 * SERIES, `${away.ring_rows} rows are on disk`);
  t.ok(away.buffer_bytes! < 1024 * 1024, `memory holds ${away.buffer_bytes} bytes`);
  t.ok(bytesIn(path) < 64 * 1024 * 1024);
  world.setPartitioned(false);
  const backMs = world.time.nowMs;
  // The fleet's limit is 1,000 rows a second in this world: the hour takes 40 s, after a back-off of at most 30 s.
  await world.run(120);
  const metrics = world.agent.metrics();
  t.equal(metrics.ring_rows, 0);
  t.equal(readdirSync(path).length, 0, 'the ring is empty again');
  t.ok(metrics.buffer_rows! < 10 * SERIES, 'but for the last seconds nothing waits');
  for (const id of ['host-1', ...VMS.map((vm) => vm.id)]) t.equal(holes(world, id), 0, `${id} has every second`);
  const dropped = Object.entries(metrics).filter(([name, value]) => name.includes('dropped') && value > 0);
  t.same(dropped, []);

  const replayed = world.heard.filter(({ lane, atMs }) => lane === 'backlog' && atMs >= backMs);
  const order = replayed.flatMap(({ blocks }) =>
    blocks.filter(({ subject }) => subject.id === VMS[0]!.id).map(({ timesMs }) => timesMs[0]!),
  );
  t.same(
    order,
    [...order].sort((a, b) => a - b),
    'the oldest first',
  );
  // A row is live while it is younger than five seconds; during the replay each second's rows come within two.
  const fromMs = replayed[0]!.atMs;
  const late = world.heard.filter(
    ({ lane, atMs, blocks }) =>
      lane === 'live' &&
      atMs > fromMs + 5000 &&
      blocks.some(({ timesMs }) => atMs - (timesMs[0]! - (world.time.wallMs - world.time.nowMs)) > 2000),
  );
  t.equal(late.length, 0, 'live rows are not starved by the replay');
  const perSecond = new Map<number, number>();
  for (const { atMs, blocks } of replayed) {
    const second = Math.floor(atMs / 1000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + blocks.reduce((sum, { timesMs }) => sum + timesMs.length, 0));
  }
  const seconds = replayed.length === 0 ? 0 : (replayed.at(-1)!.atMs - fromMs) / 1000 + 1;
  const total = [...perSecond.values()].reduce((a, b) => a + b, 0);
  t.ok(total / seconds <= 1000 * 1.1 + 4000 / seconds, `${total} rows in ${seconds} s keep the fleet's limit`);
  await world.stop();
});

t.test('the aggregator is there but its store is not, for an hour: nothing is lost, and memory stays small', async (t) => {
  const path = directory(t);
  const world = await agentWorld(VMS, {}, undefined, () => openSpill(path, 64, HOST_BUFFER_LIMITS));
  await world.run(30);
  world.setStoring(false);
  await world.run(3600);
  const away = world.agent.metrics();
  t.equal(away.uplink_connects_total, 1, 'the connection lives');
  t.comment(`${bytesIn(path)} bytes on disk, ${away.buffer_bytes} in memory`);
  t.ok(away.buffer_bytes! < 16 * 1024 * 1024, `memory holds ${away.buffer_bytes} bytes`);
  t.ok(bytesIn(path) < 64 * 1024 * 1024);
  world.setStoring(true);
  await world.run(150);
  const metrics = world.agent.metrics();
  t.equal(metrics.ring_rows, 0);
  t.equal(readdirSync(path).length, 0, 'the ring is empty again');
  for (const id of ['host-1', ...VMS.map((vm) => vm.id)]) t.equal(holes(world, id), 0, `${id} has every second`);
  t.same(
    Object.entries(metrics).filter(([name, value]) => name.includes('dropped') && value > 0),
    [],
  );
  await world.stop();
});

t.test('killed in the midst of it: the next process sends what the first one left', async (t) => {
  const path = directory(t);
  const world = await agentWorld(VMS.slice(0, 2), {}, undefined, () => openSpill(path, 64, HOST_BUFFER_LIMITS));
  await world.run(30);
  world.setPartitioned(true);
  await world.run(900);
  await world.restart();
  await world.run(900);
  world.setPartitioned(false);
  await world.run(90);
  const missing = holes(world, VMS[0]!.id);
  t.ok(missing <= 30, `${missing} of 1,800 seconds went with the killed process's memory`);
  t.ok(world.agent.metrics().ring_recovered_rows_total! > 800 * 3, 'the rest was found again');
  t.equal(readdirSync(path).length, 0);
  await world.stop();
});

t.test('stopped in the midst of it: nothing is lost but the seconds it did not run', async (t) => {
  const path = directory(t);
  const world = await agentWorld(VMS.slice(0, 1), {}, undefined, () => openSpill(path, 64, HOST_BUFFER_LIMITS));
  await world.run(30);
  world.setPartitioned(true);
  await world.run(60);
  await world.stop();
  t.equal(world.agent.metrics().buffer_rows, 0, 'memory went to disk');
  world.setPartitioned(false);
  await world.restart();
  await world.run(30);
  t.ok(holes(world, VMS[0]!.id) <= 15, `${holes(world, VMS[0]!.id)} s missing`);
  await world.stop();
});

t.test('a full disk: memory holds what it can, nothing else suffers, and the disk is used again when it can be', async (t) => {
  const files = new MemorySegmentFiles();
  files.capacityBytes = 0;
  const limits = { ...DISK_RING_LIMITS, freeBytesMin: 0, bytesMax: 4 * 1024 * 1024 };
  const world = await agentWorld(VMS, {}, undefined, () => createSpill(files, createBlockPacking(), limits, 256 * 1024));
  await world.run(10);
  world.setPartitioned(true);
  await world.run(600);
  let metrics = world.agent.metrics();
  t.ok(metrics.ring_write_failures_total! > 10 && metrics.ring_write_failures_total! < 100, 'tried now and then');
  t.ok(metrics.buffer_backlog_rows! > 500 * SERIES, 'memory holds the rows');
  t.ok(
    world.logs.some((line) => line.includes('could not go to disk')),
    'and it is told',
  );
  files.capacityBytes = Number.POSITIVE_INFINITY;
  await world.run(30);
  metrics = world.agent.metrics();
  t.ok(metrics.ring_rows! > 500 * SERIES, 'now they are on disk');
  t.ok(metrics.buffer_rows! < 40 * SERIES);
  world.setPartitioned(false);
  await world.run(60);
  for (const vm of VMS) t.equal(holes(world, vm.id), 0);
  await world.stop();
});

t.test('a budget too small: the oldest go, counted, and the books balance', async (t) => {
  const path = directory(t);
  const world = await agentWorld(VMS, {}, undefined, () => openSpill(path, 1, HOST_BUFFER_LIMITS));
  await world.run(10);
  world.setPartitioned(true);
  await world.run(1200);
  t.ok(bytesIn(path) <= 1024 * 1024, `${bytesIn(path)} bytes on disk`);
  world.setPartitioned(false);
  await world.run(60);
  const dropped = world.agent.metrics().buffer_dropped_ring_limit_rows_total!;
  const missing = ['host-1', ...VMS.map((vm) => vm.id)].reduce((sum, id) => sum + holes(world, id), 0);
  t.ok(dropped > 0);
  t.equal(missing, dropped, 'every row that is missing was counted');
  const health = world.blocks.filter(({ subject }) => subject.kind === 'host').at(-1)!;
  t.equal(health.values.at(health.fields.indexOf('agent_health.droppedDiskRows') - health.fields.length), dropped, 'and told');
  await world.stop();
});
