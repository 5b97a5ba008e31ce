/**
 * Goal: every command of `headroom` that asks an aggregator tells what the API says, in each form, with exit codes that
 * scripts can rely on. The API is the real one, over a made fleet whose time stands still.
 */
import t from 'tap';
import { parse } from 'yaml';
import { cliWorld } from '../support/cli-world.ts';
import { FAKE_POLICY, fakeService } from '../support/fake-service.ts';
import { MADE_TEMPLATE } from '../support/made-spawning.ts';

const NOW_MS = Date.UTC(2026, 2, 3, 9, 0, 0);
const service = await fakeService({ nowMs: () => NOW_MS });
const world = await cliWorld(service);
const empty = await cliWorld(await fakeService({ nowMs: () => NOW_MS, empty: true }));
t.teardown(() => Promise.all([world.close(), empty.close()]));

t.test('vm list: one line a VM, unknown and unlimited told apart', async (t) => {
  const { code, out, err } = await world.run('vm list');
  t.equal(code, 0);
  t.equal(err, '');
  const lines = out.trimEnd().split('\n');
  t.equal(lines.length, 5, 'a head and four VMs');
  t.match(lines[0], /^NAME +HOST +STATE/);
  t.match(
    lines.find((line) => line.startsWith('idle-legacy')),
    /paused +observe +\? \/ - +observe +\? \/ 512/,
  );
  t.notMatch(out, 'UUID');
  t.match((await world.run('vm list -o wide')).out, /UUID\n.*5f0c1a3e-0000-4000-8000-/);
  t.equal((await world.run('vm list --host rack1-kvm02')).out.trimEnd().split('\n').length, 3);
});

t.test('json and yaml carry the whole answer', async (t) => {
  const json = JSON.parse((await world.run('vm list -o json')).out) as { name: string }[];
  t.same(json, parse((await world.run('vm list --output yaml')).out));
  t.same(json.map(({ name }) => name).sort(), ['gpu-render', 'idle-legacy', 'nightly-batch', 'shop-web']);
  t.same(JSON.parse((await world.run('plan show -o json plan-40')).out).id, 'plan-40');
});

t.test('vm show and explain: by name and UUID; holds, nevers and missing signals are told', async (t) => {
  const batch = await world.run('vm show nightly-batch');
  t.equal(batch.code, 0);
  t.match(batch.out, 'hands off   someone else changed it (virsh setmem)');
  t.match((await world.run('vm show 5f0c1a3e-0000-4000-8000-000000000003')).out, /never +a passed-through device/);
  t.match((await world.run('vm show gpu-render')).out, 'missing: guest agent: none is connected');
  t.match((await world.run('vm explain shop-web')).out, /shop-web on rack1-kvm01 is ready\.\n(It seems to be .*\n)?CPU: /);
  const none = await world.run('vm show nobody');
  t.equal(none.code, 3);
  t.match(none.err, 'headroom: no VM "nobody" is known');
});

t.test('host list, plan list, plan show, events, status', async (t) => {
  t.match((await world.run('host list')).out, /rack1-kvm01 +connected +1 s +2 /);
  t.match((await world.run('plan list')).out, /plan-41 +2026-03-03 09:00:00Z +1 /);
  const plan = (await world.run('plan show')).out;
  t.match(plan, /plan plan-41 at .*\nsteps\n {2}1\. shop-web on rack1-kvm01: /);
  t.match(plan, 'gpu-render cpu [mode]: mode recommend: an administrator decides');
  t.equal((await world.run('plan show plan-99999')).code, 3);
  t.equal((await world.run('events --limit 2')).out.trimEnd().split('\n').length, 3);
  t.match((await world.run('status')).out, 'ready to decide');
});

t.test('an empty fleet: every list says why it is empty', async (t) => {
  t.match(await empty.run('vm list'), { code: 0, out: 'no VM is known yet; they appear when a host agent connects\n' });
  t.match((await empty.run('host list')).out, 'when its agent connects');
  t.match((await empty.run('plan list')).out, 'no plan was made yet');
  t.match(await empty.run('plan show'), { code: 0, out: /no plan was made yet/ });
  t.match((await empty.run('events')).out, 'nothing has happened');
  t.match(await empty.run('status'), { code: 69, out: /NOT ready: no plan was made yet/ });
  t.equal((await empty.run('vm list -o json')).out, '[]\n');
});

t.test('policy: what get prints can be applied; mistakes name file, line and column', async (t) => {
  const got = await world.run('policy get');
  t.equal(got.out, FAKE_POLICY);
  const files = { 'good.yaml': got.out, 'bad.yaml': 'version: 1\ndefaults:\n  cpu: {mode: nonsense}\n' };
  t.match(await world.run('policy apply good.yaml --dry-run', files), { code: 0, out: /^not applied \(--dry-run\)/ });
  t.equal(service.policies().version, 1);
  t.match(await world.run('policy apply good.yaml', files), { code: 0, out: /^policy version 2 is in force/ });
  t.equal(service.policies().version, 2);
  const bad = await world.run('policy apply bad.yaml', files);
  t.equal(bad.code, 1);
  t.match(bad.err, /bad\.yaml:3:9: defaults\.cpu\.mode: "nonsense" is not accepted/);
  t.equal(service.policies().version, 2, 'a file with a mistake changes nothing');
  t.equal((await world.run('policy apply nowhere.yaml')).code, 3);
});

t.test('policy: history, show, diff, rollback; nobody is overwritten unseen', async (t) => {
  const files = { 'new.yaml': 'version: 1\ndefaults:\n  disk: {mode: off}\n' };
  const version = service.policies().version;
  const diff = await world.run('policy diff new.yaml', files);
  t.equal(diff.code, 0);
  t.match(diff.out, /^not applied .*\n.*\nthe next plan would make 1 steps:\n {2}shop-web: CPU raised .*\nnot done, .*: mode 2\n$/);
  t.match(await world.run(`policy apply new.yaml --if-version ${version + 5}`, files), { code: 1, err: /is in force, not/ });
  t.equal((await world.run('policy apply new.yaml --if-version x', files)).code, 2);
  t.equal((await world.run(`policy apply new.yaml --if-version ${version}`, files)).code, 0);
  t.equal((await world.run('policy show')).out, files['new.yaml']);
  t.equal((await world.run('policy show 1')).out, FAKE_POLICY);
  t.equal((await world.run('policy show 99')).code, 3);
  t.match((await world.run('policy history')).out, new RegExp(`VERSION +AT +BY +DIGEST\n +${version + 1} +2026-03-03 09:00:00Z +http`));
  t.equal((await world.run('policy rollback --dry-run')).code, 0);
  t.equal(service.policies().version, version + 1, 'a dry run takes nothing');
  t.match(await world.run('policy rollback 1'), { code: 0, out: `policy version ${version + 2} is in force` });
  t.equal(service.policies().source, FAKE_POLICY);
});

t.test('groups: listed with why, shown with their members, too late is told', async (t) => {
  t.match(
    (await world.run('group list')).out,
    /web +debian-web +auto +1 +2 +1 +6 +1.4 of cpu for 2 VMs expected in 2 steps +no host can take it/,
  );
  t.match(
    (await world.run('group show web')).out,
    /web-6f1b0000 +6f1b0000-\S+ +kvm1 +debian-web@1 +serving +2026-01-07 11:56:40Z +ready 30 s/,
  );
  t.match(await world.run('group undo web 6f1b0000-0000-4000-8000-000000000001'), { code: 1, err: /it is too late/ });
  t.equal((await world.run('group show nothing')).code, 3);
  t.match((await world.run('demand show web')).out, /cpu \(cores\) +0\.9 +1\.4 .* 0\.5 +1\.5/);
  t.equal((await world.run('demand show nothing')).code, 3);
  t.match(await world.run('group hand-over web 6f1b0000-0000-4000-8000-000000000002 --dry-run'), {
    code: 0,
    out: /^not done \(--dry-run\): /,
  });
  t.equal((await world.run('group hand-over web 6f1b0000-0000-4000-8000-000000000002')).code, 0);
  t.match(await world.run('group give-back web 6f1b0000-0000-4000-8000-000000000001'), { code: 1, err: /was made by Headroom/ });
});

t.test('templates: listed, shown, taken, refused with their place, checked on hosts', async (t) => {
  t.match((await world.run('template list')).out, /debian-web +1 +templates\/debian-12.qcow2 +2 +1024 +guest-agent +kvm1 31 s/);
  t.equal((await world.run('template show debian-web')).out, MADE_TEMPLATE);
  const files = { 'new.yaml': MADE_TEMPLATE.replace('1024', '2048'), 'bad.yaml': MADE_TEMPLATE.replace('vcpus: 2', 'vcpus: none') };
  t.match(await world.run('template apply new.yaml --dry-run', files), { code: 0, out: 'template debian-web: version 1 is sound' });
  t.match(await world.run('template apply new.yaml', files), { code: 0, out: 'template debian-web: version 2 is current\n' });
  t.equal((await world.run('template show debian-web 1')).out, MADE_TEMPLATE);
  t.equal((await world.run('template show debian-web 9')).code, 3);
  t.match(await world.run('template apply bad.yaml', files), { code: 1, err: /bad\.yaml:6:1: vcpus: "none" is not accepted/ });
  t.match(await world.run('template check debian-web'), { code: 1, out: /kvm1 +no +pool templates has no volume/ });
});

t.test('anomaly list: kind, since when, likely cause', async (t) => {
  t.match((await world.run('anomaly list -o wide')).out, /shop-web +alpha +leak +page +2023-11-14 22:13:20 +goes on +memory went .*90 %/);
  t.match((await world.run('anomaly list --open -o json')).out, /"kind": *"leak"/);
});

t.test('map: what stands behind what', async (t) => {
  t.match((await world.run('map shop-web')).out, /shop-web +cpu +cpu +rack1-kvm01 +\? +weight/);
});

t.test('loan list and shortage list: who lends whom what, who lacks room', async (t) => {
  t.match((await world.run('loan list')).out, /rack1-kvm01 +batch +shop-web +200 MiB +lent/);
  t.match(
    (await world.run('shortage list -o wide')).out,
    /rack1-kvm01 +shop-web +700 MiB +1100 MiB +borrow, throttle, alert .*nobody less important/,
  );
  const { out } = await world.run('vm explain shop-web');
  t.match(out, /200 MiB are borrowed from batch until/);
  t.match(out, /What is done about it, migrate: not done/);
});

t.test('sla list: attainment beside the objective', async (t) => {
  t.match((await world.run('sla list -o wide')).out, /shop-cpu +cpu +1 +99 % +98\.5 % +NO +-50 % .*shop-web 98\.5 %/);
});

t.test('kill switch: scope and reason reach the aggregator', async (t) => {
  t.match(await world.run('kill-switch on'), { code: 0, out: /engaged for the whole fleet/ });
  t.match((await world.run('kill-switch status')).out, 'ENGAGED');
  t.equal((await world.run('kill-switch off --reason over')).code, 0);
  t.equal((await world.run('kill-switch on --vm shop-web')).code, 0);
  t.equal((await world.run('kill-switch on --host nowhere')).code, 3);
  t.match(await world.run('kill-switch on --vm shop-web --host rack1-kvm01'), { code: 2, err: /not both/ });
  t.match(service.killSwitchCalls, [
    { scope: 'fleet', engaged: true, reason: 'by ada at the command line' },
    { scope: 'fleet', engaged: false, reason: 'over' },
    { scope: '5f0c1a3e-0000-4000-8000-000000000001', engaged: true },
  ]);
});

t.test('audit verify: the chain as the aggregator sees it', async (t) => {
  t.match(await world.run('audit verify'), { code: 0, out: /^the chain holds: 3 entries, head [0-9a-f]{64}\n$/ });
  t.equal((await world.run('audit verify --ledger /nowhere/ledger.db')).code, 3);
  t.equal((await world.run('audit verify --ledger a --data-dir b')).code, 2);
});

t.test('names cannot write to the terminal', async (t) => {
  const made = await fakeService({ nowMs: () => NOW_MS });
  const [vm] = made.vms();
  const evil = await cliWorld({ ...made, vms: () => [{ ...vm!, name: 'a\u001b[2Jb\u202ec' }] });
  t.teardown(() => evil.close());
  const { out } = await evil.run('vm list');
  t.match(out, 'a\\u001b[2Jb\\u202ec');
  t.notMatch(out, '\u001b');
});
