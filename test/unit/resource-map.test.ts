/** Goal: the map names for each virtual resource the physical one as the definition says, its host and its age; what does not run has no rows. */
import t from 'tap';
import { physicalMap } from '../../agent/core/physical-map.ts';
import { mapRows } from '../../aggregator/http/resource-map.ts';
import { vmView } from '../support/fake-service.ts';
import { MADE_VMS } from '../support/made-fleet.ts';

t.test('what the definition says stands behind each resource', async (t) => {
  const rows = physicalMap(
    {
      ...{ vcpusOnline: 2, bootMemoryMiB: 4096, numaNode: 1, dedicatedPinning: false, hugepages: false, memorySource: 'anonymous' },
      interfaces: [
        { device: 'vnet3', mac: '52:54:00:00:00:01', type: 'bridge' },
        { device: '', mac: '52:54:00:00:00:02', type: 'user' },
      ],
      disks: [
        { target: 'vda', source: '/var/lib/libvirt/images/web.qcow2' },
        { target: 'vdb', source: null },
        { target: 'vdc', source: 'headroom-slice' },
      ],
    },
    (target) => `RAM elsewhere, as is told of ${target}`,
  );
  t.same(rows, [
    { resource: 'cpu', virtual: '2 vCPUs', physical: 'CPUs shared with others' },
    { resource: 'memory', virtual: '4096 MiB at boot', physical: 'RAM of NUMA node 1' },
    { resource: 'network', virtual: '52:54:00:00:00:01', physical: 'vnet3 (bridge)' },
    { resource: 'network', virtual: '52:54:00:00:00:02', physical: 'no device of its own (user)' },
    { resource: 'disk', virtual: 'vda', physical: '/var/lib/libvirt/images/web.qcow2' },
    { resource: 'disk', virtual: 'vdb', physical: 'unknown' },
    { resource: 'disk', virtual: 'swap vdc', physical: 'RAM elsewhere, as is told of vdc' },
  ]);
});

t.test('rows with host, what is granted and how old it is', async (t) => {
  const vm = vmView(MADE_VMS[0]!, Date.UTC(2026, 0, 1));
  const devices = [{ resource: 'disk' as const, virtual: 'vda', physical: '/images/a.qcow2' }];
  const rows = mapRows([{ ...vm, devices }]);
  t.match(
    rows.find(({ resource }) => resource === 'disk'),
    { vmName: vm.name, host: vm.host, physical: '/images/a.qcow2' },
  );
  t.match(
    rows.find(({ resource }) => resource === 'cpu'),
    { virtual: 'cpu', physical: '' },
    'an older agent tells no devices: unknown',
  );
  t.ok(rows.every(({ ageMs }) => ageMs === null || ageMs >= 0));
  t.same(mapRows([{ ...vm, state: 'stopped', devices }]), [], 'what is off holds nothing');
});
