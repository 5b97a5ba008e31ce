/** Goal: disks that lie in files are found in a definition, with what stands in the way of taking them along, and moved, they alone. */
import t from 'tap';
import { fileDisksOf, policiesOf, withDisks, withServedDisk, withWholeDisk } from '../../agent/hypervisor/libvirt/disk-xml.ts';
import { parseXml } from '../../agent/hypervisor/libvirt/xml-tree.ts';

const disk = (inner: string, attributes = "type='file' device='disk'"): string => `<disk ${attributes}>${inner}</disk>`;
const domain = (...disks: string[]): string =>
  `<domain><name>a</name><devices>${disks.join('\n')}<memballoon model='none'/></devices></domain>`;
const plain = disk(
  "<driver name='qemu' type='qcow2' cache='none'/><source file='/d/a.qcow2'/><target dev='vda' bus='virtio'/><serial>x</serial>",
);

t.test('found, with what stands in the way', async (t) => {
  const odd = (inner: string): string => disk(`<driver type='raw'/><source file='/d/b'/><target dev='vdb'/>${inner}`);
  t.same(fileDisksOf(domain(plain, disk("<source file='/d/c'/><target dev='vdc'/>"))), [
    { target: 'vda', path: '/d/a.qcow2', format: 'qcow2', problem: null },
    { target: 'vdc', path: '/d/c', format: 'raw', problem: null },
  ]);
  for (const [inner, why] of [
    ['<shareable/>', /other VMs/],
    ['<transient/>', /not to last/],
    ["<encryption format='luks'/>", /encrypted/],
    ["<mirror type='file'/>", /copied/],
  ] as const)
    t.match(fileDisksOf(domain(odd(inner)))[0]?.problem, why);
  t.match(fileDisksOf(domain(disk("<driver type='vmdk'/><source file='/d/v'/><target dev='vdv'/>")))[0]?.problem, /vmdk/);
  const others = [
    disk("<source file='/iso'/><target dev='sda'/><readonly/>", "type='file' device='cdrom'"),
    disk("<source dev='/dev/sdb'/><target dev='vdx'/>", "type='block' device='disk'"),
    disk("<target dev='fda'/>", "type='file' device='floppy'"),
  ];
  t.same(fileDisksOf(domain(...others)), [], 'what is no disk in a file of its own is everybody’s');
});

t.test('moved, with the chain below it gone and nothing else touched', async (t) => {
  const chain = `<backingStore type='file' index='2'><format type='qcow2'/><source file='/d/base'/><backingStore/></backingStore>`;
  const live = disk(
    `<driver name='qemu' type='raw' discard='unmap'/><source file='/d/b.img' index='1'><seclabel model='dac' relabel='no'/></source>${chain}<target dev='vdb' bus='virtio'/>`,
  );
  const moved = withDisks(domain(plain, live), new Map([['vdb', "/new/it's.qcow2"]]));
  t.match(moved, plain, 'the other disk is as it was');
  t.notMatch(moved, /base|backingStore|seclabel/);
  t.match(moved, "<driver name='qemu' type='qcow2' discard='unmap'/>");
  t.equal(fileDisksOf(moved)[1]?.path, "/new/it's.qcow2");
  t.equal(fileDisksOf(moved)[1]?.format, 'qcow2');
  t.ok(parseXml(moved));
  t.equal(withDisks(domain(plain), new Map([['vda', '/d/a.qcow2']])), domain(plain), 'one that lies there already keeps its chain');
  t.equal(withDisks(domain(plain), new Map([['vdz', '/d/z']])), domain(plain));
});

t.test('one that has not all come reads the rest from a socket and stands still when it cannot; whole, it is as it was', async (t) => {
  const own = plain.replace("cache='none'", "cache='none' error_policy='enospace'");
  for (const first of [plain, own]) {
    const before = domain(first, disk("<driver type='raw'/><source file='/d/b'/><target dev='vdb'/>"));
    const policies = policiesOf(before, 'vda');
    t.same(policies, { errorPolicy: first === own ? 'enospace' : null, readErrorPolicy: null });
    const served = withServedDisk(before, 'vda', '/run/x/s-vda');
    t.match(served, "<host transport='unix' socket='/run/x/s-vda'/>");
    t.match(served, "cache='none' error_policy='stop' rerror_policy='stop'/>");
    t.equal(served.match(/error_policy=/g)?.length, 2, 'the other disk is as it was');
    t.equal(fileDisksOf(served)[0]?.path, '/d/a.qcow2');
    t.equal(withServedDisk(served, 'vda', '/run/x/s-vda'), served, 'once is enough');
    t.ok(parseXml(served));
    t.equal(withWholeDisk(served, 'vda', policies), before);
  }
  const empty = domain(
    disk("<driver name='qemu' type='qcow2'></driver><source file='/d/a'><seclabel/></source><backingStore/><target dev='vda'/>"),
  );
  const served = withServedDisk(empty, 'vda', '/s');
  t.match(served, "<driver name='qemu' type='qcow2' error_policy='stop' rerror_policy='stop'></driver>");
  t.match(served, "<source file='/d/a'><seclabel/></source><backingStore type='network'>");
  t.equal(served.match(/<backingStore/g)?.length, 2);
});
