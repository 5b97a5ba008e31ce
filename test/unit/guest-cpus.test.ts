/**
 * Goal: the guest remembers what was online before the first was taken down, where a reboot forgets it and the agent's death
 * does not; it puts that back and no more; and where it may take none down it says so.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openGuestCpus } from '../../agent/guest-cpus.ts';

function guest(offline: readonly number[] = []): { root: string; run: string; online: () => number[] } {
  const root = mkdtempSync(join(tmpdir(), 'headroom-guest-cpus-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const file = (cpu: number): string => join(root, `sys/devices/system/cpu/cpu${cpu}/online`);
  for (const cpu of [0, 1, 2, 3]) {
    mkdirSync(join(root, `sys/devices/system/cpu/cpu${cpu}`), { recursive: true });
    if (cpu > 0) writeFileSync(file(cpu), offline.includes(cpu) ? '0\n' : '1\n');
  }
  const online = (): number[] => [0, 1, 2, 3].filter((cpu) => cpu === 0 || readFileSync(file(cpu), 'utf8').trim() === '1');
  return { root, run: join(root, 'run/headroom'), online };
}

t.test('taken down from the highest, brought back, and the note goes with it', (t) => {
  const { root, run, online } = guest();
  const cpus = openGuestCpus(root, run)!;
  t.equal(cpus.held, false);
  t.equal(cpus.set(2), 2);
  t.same([online(), cpus.held], [[0, 1], true]);
  t.equal(cpus.set(1), 1);
  t.equal(cpus.set(3), 3);
  t.same(online(), [0, 1, 2]);
  t.equal(cpus.set(4), 4, 'as many as there were are all of them');
  t.same([online(), cpus.held, existsSync(join(run, 'cpus-online.json'))], [[0, 1, 2, 3], false, false]);
  t.equal(cpus.restore(), 4, 'nothing to put back');
  t.end();
});

t.test('what somebody in the guest took down himself stays down', (t) => {
  const { root, run, online } = guest([2]);
  const cpus = openGuestCpus(root, run)!;
  t.equal(cpus.set(2), 2);
  t.same(online(), [0, 1]);
  t.equal(cpus.set(4), 3);
  t.same([online(), cpus.held], [[0, 1, 3], false]);
  t.end();
});

t.test('an agent that died left a note: the next one puts back what was there', (t) => {
  const { root, run, online } = guest([3]);
  openGuestCpus(root, run)!.set(1);
  const next = openGuestCpus(root, run)!;
  t.equal(next.held, true);
  t.equal(next.restore(), 3);
  t.same(online(), [0, 1, 2]);
  openGuestCpus(root, run)!.set(1);
  writeFileSync(join(run, 'cpus-online.json'), '{"half a no');
  t.equal(openGuestCpus(root, run)!.held, false, 'a note that cannot be read is none');
  t.end();
});

t.test('nothing is taken down that could not be put back, or that the kernel does not let go', (t) => {
  const { root, online } = guest();
  const cpus = openGuestCpus(root, join(root, 'sys/devices/system/cpu/cpu1/online/nowhere'))!;
  t.throws(() => cpus.set(2));
  t.same([online(), cpus.held], [[0, 1, 2, 3], false]);
  const single = mkdtempSync(join(tmpdir(), 'headroom-one-cpu-'));
  t.teardown(() => rmSync(single, { recursive: true, force: true }));
  mkdirSync(join(single, 'sys/devices/system/cpu/cpu0'), { recursive: true });
  t.equal(openGuestCpus(single, single), null, 'one vCPU is the least there is');
  if (process.getuid?.() !== 0) {
    for (const cpu of [1, 2, 3]) chmodSync(join(root, `sys/devices/system/cpu/cpu${cpu}/online`), 0o444);
    t.equal(openGuestCpus(root, join(root, 'run')), null);
  }
  t.end();
});
