/**
 * Goal: `top` shows the fleet as the API has it, sorted as asked, as much as fits, and goes on in a terminal; `describe` tells all of one
 * VM; `freeze` stops what it names, `unfreeze` lets just that go on, and a dry run does neither.
 */
import t from 'tap';
import type { VmView } from '../../aggregator/http/service.ts';
import { cliWorld } from '../support/cli-world.ts';
import { fakeService } from '../support/fake-service.ts';
import { MADE_VMS } from '../support/made-fleet.ts';

const service = await fakeService();
const world = await cliWorld(service);
t.teardown(() => world.close());

const namesIn = (out: string): string[] =>
  out.split('\n').flatMap((line) => MADE_VMS.find(({ name }) => line.startsWith(`${name} `))?.name ?? []);

t.test('top: every VM, the most first, unknown last', async (t) => {
  const { out, code } = await world.run('top');
  t.equal(code, 0);
  t.same(namesIn(out).toSorted(), MADE_VMS.map(({ name }) => name).toSorted(), 'all of them');
  for (const resource of ['cpu', 'memory'] as const) {
    const { vms: told } = JSON.parse((await world.run(`top --sort ${resource} -o json`)).out) as { vms: VmView[] };
    const most = (a: VmView, b: VmView): number => (b.resources[resource].usage ?? -1) - (a.resources[resource].usage ?? -1);
    t.same(told, told.toSorted(most), `by what it told of ${resource} itself: usage goes on`);
  }
  t.match(out, new RegExp(`${service.hosts().length} hosts, ${MADE_VMS.length} VMs`));
  const { vms, hosts } = JSON.parse((await world.run('top -o json --limit 2')).out);
  t.equal(vms.length, 2);
  t.equal(hosts.length, service.hosts().length);
  t.match((await world.run('top --limit 1')).out, new RegExp(`\nand ${MADE_VMS.length - 1} more\n$`));
  t.match(await world.run('top --sort name'), { code: 2, err: /there are cpu, memory, network, disk, contention/ });
  t.match(await world.run('top --limit 0'), { code: 2 });
  t.match((await world.run('top --host nowhere')).out, /no VM of host nowhere is known/);
});

t.test('top: in a terminal it goes on until interrupted, and fits', async (t) => {
  let tables = 0;
  const live = await cliWorld(service, {
    terminal: true,
    rows: 7,
    onOut: (_text, interrupt) => {
      tables += 1;
      if (tables === 2) interrupt();
    },
  });
  t.teardown(() => live.close());
  const { code, out } = await live.run('top --interval 0.1');
  t.equal(code, 0);
  t.equal(tables, 2, 'it was shown again');
  for (const screen of out.split('\u001b[3J').slice(1)) t.ok(screen.split('\n').length <= 7, 'within the lines of the terminal');
  tables = 0;
  t.match(await live.run('top --once'), { code: 0 });
  t.equal(tables, 1);
});

t.test('describe: figures, why, and what concerns this VM alone', async (t) => {
  const web = MADE_VMS[0]!;
  service.emit({ kind: 'outcome', vm: web.id, host: web.host, message: 'shop-web: made just now', data: {} });
  service.emit({ kind: 'outcome', vm: MADE_VMS[1]!.id, host: web.host, message: 'another: made just now', data: {} });
  const { out, code } = await world.run('describe shop-web');
  t.equal(code, 0);
  for (const part of ['shop-web (', '\nwhy\n', '\nlately\n', 'shop-web: made just now']) t.match(out, part);
  t.notMatch(out, 'another: made just now');
  const all = JSON.parse((await world.run(`describe ${web.id} -o json`)).out);
  t.same(Object.keys(all), ['vm', 'explanation', 'anomalies', 'loans', 'suspension', 'events']);
  t.ok(all.anomalies.every((each: { vm: string }) => each.vm === web.id));
  t.match(await world.run('describe nobody'), { code: 3 });
});

t.test('freeze and unfreeze: what was named, and nothing else', async (t) => {
  t.match(await world.run('freeze --dry-run'), { code: 0, out: /^not done \(--dry-run\): kill switch engaged for the whole fleet/ });
  t.equal(service.snapshot().killSwitch, false, 'a dry run does nothing');
  t.match(await world.run('freeze --reason drill'), { code: 0, out: /^kill switch engaged for the whole fleet/ });
  t.equal(service.snapshot().killSwitch, true);
  t.match((await world.run('top')).out, /FROZEN/);
  t.match(await world.run('unfreeze'), { code: 0, out: /^kill switch released for the whole fleet/ });
  t.equal(service.snapshot().killSwitch, false);
  t.match(await world.run('freeze shop-web'), { code: 0, out: /engaged for VM shop-web/ });
  t.equal(service.snapshot().killSwitch, false, 'the fleet goes on');
  t.match(await world.run('freeze nobody'), { code: 3 });
  t.match(await world.run('freeze nobody --dry-run'), { code: 3 }, 'a dry run finds what the change would find');
  t.match(await world.run('freeze shop-web --host rack1-kvm01'), { code: 2, err: /not both/ });
});
