/**
 * Goal: approve, roll back, report and complete at the command line: what was seen is what is asked for, a dry run does nothing, the
 * exit codes are those of the guide, and what completes is what there is, by the shell itself.
 */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { COMMANDS } from '../../aggregator/cli/commands.ts';
import { cliWorld } from '../support/cli-world.ts';
import { fakeService } from '../support/fake-service.ts';
import { MADE_VMS } from '../support/made-fleet.ts';

const service = await fakeService();
const world = await cliWorld(service);
t.teardown(() => world.close());

t.test('what waits is listed, tried, approved and then waits no more', async (t) => {
  t.match((await world.run('recommend list')).out, /gpu-render +cpu .*cap 3\.10 cores|gpu-render +cpu/);
  const tried = await world.run('approve gpu-render cpu --dry-run');
  t.match(tried, { code: 0, out: /^not approved \(--dry-run\): gpu-render: cpu / });
  t.equal(service.recommendations().length, 1, 'a dry run does nothing');
  t.match(await world.run('approve gpu-render cpu'), { code: 0, out: /^approved: gpu-render: cpu / });
  t.equal(service.recommendations().length, 0);
  t.match(await world.run('recommend list'), { code: 0, out: /^nothing waits/ });
  t.match(await world.run('approve gpu-render cpu'), { code: 3, err: /nothing is recommended now/ });
  t.match(await world.run('approve gpu-render fans'), { code: 2, err: /"fans" is no resource: there are cpu, memory/ });
});

t.test('fewer vCPUs are listed and approved as they were seen, and vm show, plan show and explain have words for them', async (t) => {
  const own = await fakeService();
  const { id: vm, name, host } = MADE_VMS[0]!;
  const online = (count: number) => ({ resource: 'vcpus' as const, online: count });
  const reason = 'recommended only: 4 of 8 vCPUs taken offline';
  const asked: unknown[] = [];
  const waiting = {
    ...own.recommendations()[0]!,
    id: `${vm}.vcpus`,
    vm,
    vmName: name,
    resource: 'vcpus' as const,
    from: online(8),
    to: online(4),
    reason,
  };
  own.recommendations = () => [waiting];
  own.approve = async (_id, to, by) => {
    asked.push(to);
    return { ...waiting, approval: { by, atMs: 1, untilMs: 2, to: to ?? waiting.to } };
  };
  const step = {
    vm,
    vmName: name,
    host,
    from: 8,
    to: 4,
    of: 8,
    mode: 'auto' as const,
    constraint: 'forecast' as const,
    reason: 'few',
    predictedDemand: 1,
  };
  const plan = own.plan('plan-41')!;
  const outcomes = [{ vcpuStep: 0, outcome: 'refused', reason: 'the guest will not' }];
  own.plan = () => ({
    ...plan,
    vcpuSteps: [step],
    vcpuOutcomes: outcomes,
    vcpusRecommended: [{ ...step, mode: 'recommend', constraint: 'mode', reason }],
  });
  const judged = {
    verdict: 'harmed' as const,
    reason: 'it was held down',
    planId: null,
    judgedAtMs: 2,
    changedAtMs: 1,
    direction: 'shrink' as const,
  };
  const view = own.vm(vm)!;
  const infeasible = { target: 2, reason: 'the guest will not', untilMs: Date.UTC(2026, 0, 8) };
  const lastVerdict = { ...judged, from: 8, to: 4 };
  own.vm = () => ({
    ...view,
    vcpus: { defined: 8, online: 8, lastChange: null, lastVerdict, coolUntilMs: Date.UTC(2026, 0, 7), infeasible },
  });
  own.vms = () => [own.vm(vm)!];
  const faces = await cliWorld(own);
  t.teardown(() => faces.close());
  t.match((await faces.run('recommend list')).out, /shop-web +vcpus +8 vCPUs online +4 vCPUs online/);
  t.match(await faces.run('approve shop-web vcpus'), { code: 0, out: /^approved: shop-web: vcpus 8 vCPUs online → 4 vCPUs online/ });
  t.same(asked, [online(4)]);
  const shown = (await faces.run('plan show plan-41')).out;
  t.match(shown, /vCPUs online 8 → 4 of 8: few\n +refused: the guest will not/);
  t.match(shown, /shop-web vcpus \[mode\]: recommended only: .*would be 8 → 4 of 8/);
  t.match((await faces.run('vm show shop-web')).out, /vCPUs: 8 of 8 online\n +judged +8 → 4: harmed: it was held down/);
  const { out } = await faces.run('vm explain shop-web');
  t.match(out, /Taking 4 of its vCPUs offline at 1970\S+ did harm and is taken back: it was held down\./);
  t.match(out, /None of its vCPUs is taken offline before 2026-01-07T00:00:00Z: the last time did harm\./);
  t.match(
    out,
    /2 of its vCPUs online were tried and not reached \(the guest will not\): so few are not tried before 2026-01-08T00:00:00Z\./,
  );
  own.takeBack = async (_vm, resource, _by, dryRun) => ({
    vm,
    vmName: name,
    resource,
    from: online(4),
    to: online(8),
    changedAtMs: 1,
    dryRun,
  });
  t.match(await faces.run('rollback shop-web vcpus'), { code: 0, out: /^taken back: shop-web: vcpus 4 vCPUs online → 8 vCPUs online/ });
});

t.test('the last shrink is taken back; where there was none it says so', async (t) => {
  const id = MADE_VMS[0]!.id;
  t.match(await world.run(`rollback ${id} cpu`), { code: 0, out: /^taken back: shop-web: cpu / });
  t.match(await world.run('rollback shop-web cpu --dry-run'), { code: 0, out: /^not taken back/ });
  t.match(await world.run('rollback shop-web memory'), { code: 1, err: /was no shrink/ });
  t.match(await world.run('rollback nobody cpu'), { code: 3 });
});

t.test('savings stand beside what they cost, in the sums and in every row', async (t) => {
  const { out, code } = await world.run('report savings --last 1h');
  t.equal(code, 0);
  t.match(out, /^saved: +[\d.]+ core hours.*\nit cost: +short of CPU/);
  t.match(out, /VM +RESOURCE +SIZE +GRANTED +SAVED +SHORT +HELD BACK\n/);
  const report = JSON.parse((await world.run('report savings --last 1h -o json')).out);
  const row = report.items.find((each: { vmName: string; resource: string }) => each.vmName === 'shop-web' && each.resource === 'cpu');
  t.ok(row.granted > 0 && row.granted <= row.size, `${row.granted} of ${row.size} cores`);
  t.ok(Math.abs(row.savedUnitHours - (row.size - row.granted) * row.knownHours) < 0.05 * row.size, 'the sum follows from the mean');
});

t.test('bash completes commands, their second words and their options', async (t) => {
  const { out } = await world.run('completion bash');
  const complete = (...words: string[]): string[] => {
    const line = words.map((word) => `'${word}'`).join(' ');
    const script = `${out}\nCOMP_WORDS=(headroom ${line}); COMP_CWORD=${words.length}; _headroom; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, status } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    t.equal(status, 0, stderr);
    return stdout.trim().split('\n').sort();
  };
  t.same(complete('po'), ['policy']);
  t.same(complete('policy', ''), COMMANDS.flatMap(({ name }) => (name.startsWith('policy ') ? [name.split(' ')[1]] : [])).sort());
  t.same(complete('policy', 'apply', '--dr'), ['--dry-run']);
  t.same(complete('approve', 'web', 'cpu', '--dr'), ['--dry-run']);
  t.match((await world.run('completion fish')).out, /complete -c headroom -n '__fish_seen_subcommand_from policy' -a apply/);
  t.match(await world.run('completion tcsh'), { code: 2 });
});
