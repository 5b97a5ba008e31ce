/**
 * Goal: every "never" of the first safety rule, through the real parser of definitions: one fixture each, and the reason in
 * words. What is hostile, broken or unknown is never, without a crash.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eligibility, isGrowOnly, mayChangeVcpus, osFamilyOf } from '../../agent/core/eligibility.ts';
import type { VmFacts } from '../../agent/core/vm-facts.ts';
import { cpuSet, factsFromXml } from '../../agent/hypervisor/libvirt/domain-xml.ts';
import { vmId } from '../../shared/ids.ts';
import { RESOURCES, type Resource } from '../../shared/resources.ts';

const folder = join(import.meta.dirname, '../fixtures/domains');
const identity = { id: vmId('6f1b0000-0000-4000-8000-0000000000f1'), name: 'vm', persistent: true };
const HOST = { balloonManager: null };

const factsOf = (name: string): VmFacts => factsFromXml(readFileSync(join(folder, `${name}.xml`), 'utf8'), identity);

/** Fixture → what is never, and why; resources not named are allowed. */
const NEVER: Record<string, Partial<Record<Resource, RegExp>>> = {
  plain: {},
  'vfio-pci': { memory: /host device \(pci\)/ },
  'vfio-interface': { memory: /interface of type hostdev/, network: /"hostdev", which cannot be limited/ },
  mdev: { memory: /host device \(mdev\)/ },
  vdpa: { memory: /interface of type vdpa/, network: /vdpa/ },
  'vhost-user': { memory: /interface of type vhostuser/, network: /vhostuser/ },
  'nvme-disk': { memory: /disk of type nvme/ },
  virtiofs: { memory: /file system served by virtiofs/ },
  sev: { memory: /encrypted \(sev\)/ },
  tdx: { memory: /encrypted \(tdx\)/ },
  hugepages: { memory: /huge pages/ },
  locked: { memory: /locked/ },
  preallocated: { memory: /allocated up front/ },
  'numa-strict': { memory: /strictly to NUMA/ },
  'numa-default-mode': { memory: /strictly to NUMA/ },
  'no-balloon': { memory: /no balloon device/ },
  'balloon-not-told': { memory: /whether it has a balloon device is unknown/ },
  'balloon-unknown': { memory: /of a kind Headroom does not know/ },
  'deflate-on-oom': { memory: /deflates by itself/ },
  'memory-device': { memory: /1 memory device/ },
  'virtio-mem': { memory: /1 memory device/ },
  'virtio-mem-plugged': {},
  'memory-source-unknown': { memory: /what its memory is made of is unknown/ },
  'dedicated-pinning': { cpu: /pinned to dedicated host CPUs/ },
  'dedicated-set': { cpu: /pinned to dedicated host CPUs/ },
  'wide-pinning': {},
  'real-time': { cpu: /real time/ },
  windows: { memory: /Windows guests is left alone/ },
  'windows-allowed': {},
  'hyperv-features': { memory: /Windows guests is left alone/ },
  'os-unknown': { memory: /operating system is unknown/ },
  'os-by-label': {},
  'user-interface': { network: /"user", which cannot be limited/ },
  'no-disk-no-interface': { network: /no network interface/, disk: /no disk/ },
  'device-unknown': everything(/<teleporter> is of an unknown kind/),
  xen: everything(/hypervisor type "xen"/),
  'vcpu-nonsense': everything(/"four", not a number of vCPUs/),
  'memory-nonsense': everything(/<memory> is "4194304" furlong/),
  entities: everything(/declares a document type/),
  'cut-short': everything(/could not be understood/),
  'not-a-domain': everything(/<network>, not <domain>/),
};

function everything(reason: RegExp): Record<Resource, RegExp> {
  return { cpu: reason, memory: reason, network: reason, disk: reason };
}

t.same(
  Object.keys(NEVER).sort(),
  readdirSync(folder)
    .map((file) => file.replace(/\.xml$/, ''))
    .sort(),
  'every fixture is judged',
);

for (const [name, never] of Object.entries(NEVER)) {
  t.test(name, async (t) => {
    const verdicts = eligibility(factsOf(name), HOST, null);
    for (const resource of RESOURCES) {
      const reason = never[resource];
      if (reason) t.match(verdicts[resource], { allowed: false, reason }, resource);
      else t.same(verdicts[resource], { allowed: true }, resource);
    }
  });
}

t.test('another balloon manager on the host keeps memory from us everywhere, and nothing else', async (t) => {
  const verdicts = eligibility(factsOf('plain'), { balloonManager: 'oVirt MOM' }, null);
  t.match(verdicts.memory, { allowed: false, reason: /oVirt MOM manages balloons/ });
  t.ok(verdicts.cpu.allowed && verdicts.network.allowed && verdicts.disk.allowed);
});

t.test('the operating system: label over definition over the guest’s word', async (t) => {
  t.equal(eligibility(factsOf('os-unknown'), HOST, { osFamily: 'linux' }).memory.allowed, true);
  t.equal(eligibility(factsOf('os-unknown'), HOST, { osFamily: 'windows' }).memory.allowed, false);
  t.equal(eligibility(factsOf('windows'), HOST, { osFamily: 'linux' }).memory.allowed, false, 'a guest cannot talk its way in');
  t.equal(osFamilyOf({ ...factsOf('windows'), labels: { os: 'linux' } }, null), 'linux');
});

t.test('labels: cluster class is grow-only, the vCPU count only by label', async (t) => {
  const labelled = factsOf('os-by-label');
  t.same(labelled.labels, { os: 'linux', class: 'cluster', vcpus: 'allow' });
  t.ok(isGrowOnly(labelled) && mayChangeVcpus(labelled));
  t.notOk(isGrowOnly(factsOf('plain')) || mayChangeVcpus(factsOf('plain')));
  t.notOk(mayChangeVcpus({ ...labelled, problems: ['unknown'] }));
});

t.test('hostile text never passes and never throws', async (t) => {
  const texts = [
    '',
    'no xml at all',
    '<domain>',
    '<domain/><domain/>',
    `<domain type='kvm'>${'<a>'.repeat(200_000)}${'</a>'.repeat(200_000)}</domain>`,
    `<domain type='kvm'><name>${'x'.repeat(5 * 1024 * 1024)}</name></domain>`,
    "<domain type='kvm'><vcpu>99999999999999999999</vcpu><memory>-1</memory><devices/></domain>",
    "<domain type='kvm'><__proto__><devices/></__proto__><constructor/></domain>",
    "<domain type='kvm'><vcpu current='x'>2</vcpu><memory unit='__proto__'>1</memory><devices/></domain>",
    '\u0000\u0001\ufffd',
  ];
  for (const text of texts) {
    const facts = factsFromXml(text, identity);
    t.ok(facts.problems.length > 0, JSON.stringify(text.slice(0, 60)));
    for (const verdict of Object.values(eligibility(facts, HOST, null))) t.equal(verdict.allowed, false);
  }
  t.equal(({} as Record<string, unknown>).devices, undefined, 'no prototype was touched');
});

t.test('the NUMA node of a definition: told only where it is one', async (t) => {
  t.equal(factsOf('numa-strict').numaNode, 0);
  t.equal(factsOf('plain').numaNode, null);
  const text = readFileSync(join(folder, 'numa-strict.xml'), 'utf8');
  t.equal(factsFromXml(text.replace("nodeset='0'", "nodeset='0-1'"), identity).numaNode, null);
});

t.test('sets of CPUs', async (t) => {
  t.same(cpuSet('0-3,^2,8'), new Set([0, 1, 3, 8]));
  for (const text of ['', 'a', '1-', '-', '0,,1', '^']) t.equal(cpuSet(text), null, text);
});
