/**
 * Goal: the playbook and its roles are sound as far as that can be told without machines: syntax, lint, every variable documented with
 * the default it has, arguments validated. On machines: `npm run soak -- rollout`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';

const directory = join(import.meta.dirname, '../../ansible');
const folder = mkdtempSync(join(tmpdir(), 'headroom-ansible-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const environment = { ...process.env, ANSIBLE_NOCOLOR: '1', ANSIBLE_HOME: folder, LC_ALL: 'C.UTF-8' };

function run(program: string, ...args: string[]): { status: number | null; output: string } {
  const done = spawnSync(program, args, { cwd: directory, encoding: 'utf8', env: environment, timeout: 120_000 });
  if (done.error) throw new Error(`${program}: ${done.error.message}; the Debian packages ansible-core and ansible-lint are needed`);
  return { status: done.status, output: `${done.stdout}${done.stderr}` };
}

t.test('syntax and lint', async (t) => {
  const syntax = run('ansible-playbook', '-i', 'inventory/example.yml', 'site.yml', '--syntax-check');
  t.equal(syntax.status, 0, syntax.output);
  const lint = run('ansible-lint', '--offline', '--nocolor');
  t.equal(lint.status, 0, lint.output);
  t.match(lint.output, /on [1-9]\d* files/, 'it looked at files');
});

interface Options {
  argument_specs: { main: { options: Record<string, { description?: unknown; default?: unknown; required?: boolean }> } };
}

t.test('each variable of a role is documented with its default', async (t) => {
  const roles = readdirSync(join(directory, 'roles'));
  t.same(roles.sort(), ['aggregator', 'common', 'grafana', 'guest_agent', 'host_agent', 'influxdb']);
  for (const role of roles) {
    const read = (path: string): unknown => parse(readFileSync(join(directory, 'roles', role, path), 'utf8'));
    const defaults = read('defaults/main.yml') as Record<string, unknown>;
    const { options } = (read('meta/argument_specs.yml') as Options).argument_specs.main;
    for (const [name, value] of Object.entries(defaults)) t.same(options[name]?.default, value, `${role}: ${name}`);
    for (const [name, { description, required }] of Object.entries(options)) {
      t.ok(description, `${role}: ${name} is described`);
      if (!required) t.ok(name in defaults, `${role}: ${name} has a default`);
    }
  }
});

t.test('wrong and missing arguments are told before anything is done', async (t) => {
  const attempt = (role: string, vars: Record<string, unknown>): string => {
    const play = [{ hosts: 'localhost', connection: 'local', gather_facts: false, vars, roles: [join(directory, 'roles', role)] }];
    const file = join(folder, 'play.yml');
    writeFileSync(file, JSON.stringify(play));
    const { status, output } = run('ansible-playbook', '-i', 'localhost,', file);
    t.not(status, 0);
    t.match(output, /localhost +: ok=0 +changed=0/, 'the first task refuses');
    return output.replaceAll(/\s+/g, ' ');
  };
  t.match(attempt('influxdb', {}), /missing required arguments: influxdb_admin_password/);
  t.match(
    attempt('host_agent', { headroom_version: '1', headroom_aggregator_name: 'a', host_agent_may_act: 'perhaps' }),
    /host_agent_may_act/,
  );
  t.match(
    attempt('aggregator', { headroom_version: '1', headroom_aggregator_name: 'a', headroom_aggregator_port: 7400, aggregator_tls: 'none' }),
    /made, given/,
  );
});
