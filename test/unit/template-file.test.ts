/**
 * Goal: a template file means what it says: defaults are filled in, class and template become labels, every mistake is told with
 * line, column, field and what is allowed, and no name leaves its place.
 */
import t from 'tap';
import { parseTemplateFile } from '../../aggregator/core/spawn/template-file.ts';

const SMALL = `
version: 1
name: debian-web
image: {pool: templates, volume: debian-12.qcow2}
vcpus: 2
memoryMiB: 1024
`;

t.test('the least that says something, and its defaults', async (t) => {
  const template = parseTemplateFile(SMALL);
  t.match(template, { name: 'debian-web', probe: 'guest-agent', readyWithinMs: 600_000, warmPool: 0, software: [] });
  t.same(template.build, {
    domainType: 'auto',
    vcpus: 2,
    memoryMiB: 1024,
    disk: { pool: 'templates', image: 'debian-12.qcow2', format: 'qcow2', sha256: null, sizeMiB: null },
    boot: null,
    seed: null,
    networks: [],
    labels: { template: 'debian-web' },
  });
});

t.test('probes of its host: a port, an answer, and what they may not be', async (t) => {
  const probed = (probe: string, networks = '[{network: default}]') =>
    parseTemplateFile(`${SMALL}networks: ${networks}\nready: {probe: ${probe}}\n`);
  t.match(probed('{tcp: {port: 5432}}'), { probe: 'tcp', asked: { kind: 'tcp', port: 5432, timeoutMs: 2000 } });
  t.match(probed('{http: {}}').asked, { kind: 'http', path: '/', port: 80, status: 200, timeoutMs: 2000 });
  t.match(probed('{http: {path: "/healthz?deep=1", port: 8080, status: 204, timeout: 500ms}}').asked, {
    ...{ kind: 'http', path: '/healthz?deep=1', port: 8080, status: 204, timeoutMs: 500 },
  });
  t.equal(probed('booted').asked, null);
  t.throws(() => probed('{tcp: {port: 0}}'), { message: /ready.probe.* is not accepted; expected one of/ });
  t.throws(() => probed('{http: {path: "no slash"}}'), { message: /is not accepted/ });
  t.throws(() => probed('{http: {path: "/a\\nHost: b"}}'), { message: /is not accepted/ });
  t.throws(() => probed('{tcp: {port: 80, timeout: 1m}}'), { message: /field ready.probe: one try takes .* at most 10s/ });
  t.throws(() => probed('{tcp: {port: 80}}', '[{user: true}]'), {
    message: /field ready.probe: its host must reach it: name a network or a bridge/,
  });
});

t.test('everything said', async (t) => {
  const template = parseTemplateFile(`${SMALL}
class: web
labels: {tier: front}
software: [nginx, php-fpm]
diskMiB: 20480
domainType: qemu
seed:
  cloudInit:
    userData: |
      #cloud-config
      packages: [nginx]
networks: [{network: default}, {bridge: br0}, {user: true}]
ready: {probe: application, within: 3m}
warmPool: 2
`);
  t.match(template, {
    probe: 'application',
    readyWithinMs: 180_000,
    warmPool: 2,
    software: ['nginx', 'php-fpm'],
  });
  t.same(template.build.labels, { tier: 'front', template: 'debian-web', class: 'web', readiness: 'app' });
  t.same(template.build.seed, { kind: 'cloud-init', userData: '#cloud-config\npackages: [nginx]\n', networkConfig: null });
  t.same(template.build.networks, [
    { kind: 'network', source: 'default' },
    { kind: 'bridge', source: 'br0' },
    { kind: 'user', source: null },
  ]);
  t.equal(template.build.disk.sizeMiB, 20_480);
});

t.test('equal templates have equal texts, however they were written', async (t) => {
  const json = JSON.stringify({
    name: 'debian-web',
    memoryMiB: 1024,
    vcpus: 2,
    version: 1,
    image: { volume: 'debian-12.qcow2', pool: 'templates' },
  });
  t.equal(parseTemplateFile(json).canonical, parseTemplateFile(SMALL).canonical);
});

t.test('mistakes are told with their place and what is allowed', async (t) => {
  const wrong = (source: string, ...said: RegExp[]) => {
    for (const message of said) t.throws(() => parseTemplateFile(source), { code: 'TEMPLATE_INVALID', message });
  };
  wrong('', /line 1, column 1: the template is empty; begin with "version: 1"/);
  wrong('version: 1\nname: x\n', /the whole template: .*"image" is missing: expected a mapping with pool, volume/);
  wrong(
    SMALL.replace('vcpus: 2', 'vcpus: none'),
    /line 5, column 1, field vcpus: "none" is not accepted; expected a number of vCPUs from 1 to 1024/,
  );
  wrong(`${SMALL}colour: red\n`, /line 7, column 1, field colour: unknown field "colour"; allowed here: version, name,/);
  wrong(
    SMALL.replace('debian-12.qcow2', '../../etc/shadow'),
    /field image.volume: "..\/..\/etc\/shadow" is not accepted; expected the name of a volume/,
  );
  wrong(SMALL.replace('debian-web', 'a/b'), /field name: "a\/b" is not accepted/);
  wrong(`${SMALL}labels: {class: web}\n`, /field labels.class: the label "class" is set from the template's class/);
  wrong(`${SMALL}ready: {within: 0s}\n`, /field ready.within: no VM is ready at once/);
  wrong(`${SMALL}networks: [{bridge: '../x'}]\n`, /field networks\[0\]/);
  wrong(
    `${SMALL}ready: {probe: tcp}\n`,
    /field ready.probe: "tcp" is not accepted; expected one of guest-agent, application, booted, \{tcp: /,
  );
});
