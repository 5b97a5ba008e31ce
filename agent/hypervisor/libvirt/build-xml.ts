/**
 * A VM's build as libvirt's XML: the domain with its mark, the volume its disk is. Pure. Every text is escaped: what comes over
 * the wire is data. Reading: the mark of a definition, the kinds of domain a host runs.
 */
import type { VmId } from '../../../shared/ids.ts';
import { KIB_PER_MIB } from '../../../shared/units.ts';
import type { VmBuild } from '../../../shared/vm-build.ts';
import type { BuildFiles, BuildMark, HandMark, Volume } from '../builder.ts';
import { LABELS_NAMESPACE } from './domain-metadata.ts';
import { xmlText } from './xml-text.ts';
import { at, attribute, childInNamespace, childrenOf, parseXml } from './xml-tree.ts';

export const BUILD_NAMESPACE = 'https://headroom.dev/xmlns/build/1';
export const HAND_NAMESPACE = 'https://headroom.dev/xmlns/hand/1';
export const HAND_KEY = 'headroom-hand';
const AGENT_CHANNEL = 'org.headroom.agent.0';
const QEMU_AGENT_CHANNEL = 'org.qemu.guest_agent.0';
/** Balloon statistics are refreshed this often, seconds, until the host agent sets its own period. */
const STATS_PERIOD_SECONDS = 10;

export function volumeXml(name: string, image: Volume, format: VmBuild['disk']['format'], capacityBytes: number): string {
  return `<volume type="file">
  <name>${xmlText(name)}</name>
  <capacity unit="bytes">${capacityBytes}</capacity>
  <allocation unit="bytes">0</allocation>
  <target><format type="qcow2"/></target>
  <backingStore><path>${xmlText(image.path)}</path><format type="${format}"/></backingStore>
</volume>`;
}

export interface BuiltDomain {
  id: VmId;
  build: VmBuild;
  files: BuildFiles;
  mark: BuildMark;
  /** kvm, qemu, or the test driver's own. */
  domainType: string;
}

export function builtDomainXml({ id, build, files, mark, domainType }: BuiltDomain): string {
  const labels = Object.entries(build.labels).map(([name, value]) => `<l:label name="${xmlText(name)}" value="${xmlText(value)}"/>`);
  const ignition = build.seed?.kind === 'ignition' && files.seed !== null;
  return `<domain type="${xmlText(domainType)}">
  <name>${xmlText(build.name)}</name>
  <uuid>${id}</uuid>
  <metadata>
    <b:build xmlns:b="${BUILD_NAMESPACE}" order="${xmlText(mark.orderId)}" group="${xmlText(mark.group)}" template="${xmlText(mark.template)}" pool="${xmlText(mark.pool)}"/>
    <l:labels xmlns:l="${LABELS_NAMESPACE}">${labels.join('')}</l:labels>
  </metadata>
  <memory unit="KiB">${build.memoryMiB * KIB_PER_MIB}</memory>
  <currentMemory unit="KiB">${build.memoryMiB * KIB_PER_MIB}</currentMemory>
  <vcpu>${build.vcpus}</vcpu>
  ${ignition ? `<sysinfo type="fwcfg"><entry name="opt/com.coreos/config" file="${xmlText(files.seed ?? '')}"/></sysinfo>` : ''}
  <os><type>hvm</type>${bootXml(build)}</os>
  <features><acpi/></features>
  ${domainType === 'kvm' ? '<cpu mode="host-passthrough"/>' : ''}
  <clock offset="utc"/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" discard="unmap"/>
      <source file="${xmlText(files.disk.path)}"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    ${build.seed?.kind === 'cloud-init' && files.seed !== null ? seedDisk(files.seed) : ''}
    ${build.networks.map(interfaceXml).join('')}
    <channel type="unix"><target type="virtio" name="${AGENT_CHANNEL}"/></channel>
    <channel type="unix"><target type="virtio" name="${QEMU_AGENT_CHANNEL}"/></channel>
    <console type="pty"/>
    <rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
    <memballoon model="virtio"><stats period="${STATS_PERIOD_SECONDS}"/></memballoon>
  </devices>
</domain>`;
}

function bootXml({ boot }: VmBuild): string {
  if (boot === null) return '<boot dev="hd"/>';
  const { kernel, initrd, commandLine } = boot;
  return `<kernel>${xmlText(kernel)}</kernel><initrd>${xmlText(initrd)}</initrd><cmdline>${xmlText(commandLine)}</cmdline>`;
}

/** Label `cidata` is how cloud-init knows it. */
function seedDisk(path: string): string {
  return `<disk type="file" device="cdrom">
      <driver name="qemu" type="raw"/>
      <source file="${xmlText(path)}"/>
      <target dev="sda" bus="sata"/>
      <readonly/>
    </disk>`;
}

function interfaceXml({ kind, source }: VmBuild['networks'][number]): string {
  const from = source === null ? '' : `<source ${kind}="${xmlText(source)}"/>`;
  return `<interface type="${kind}">${from}<model type="virtio"/></interface>`;
}

/** Null: not made by Headroom. */
export function markOf(domainXml: string): BuildMark | null {
  const domain = parseXml(domainXml);
  const element = childInNamespace(at(domain, 'metadata'), BUILD_NAMESPACE, 'build', [domain]);
  const [orderId, group, template, pool] = ['order', 'group', 'template', 'pool'].map((name) => attribute(element, name));
  if (orderId === undefined || group === undefined || template === undefined || pool === undefined) return null;
  return { orderId, group, template, pool };
}

export const handXml = ({ orderId, group }: HandMark): string => `<handed order="${xmlText(orderId)}" group="${xmlText(group)}"/>`;

/** Null: not handed over. */
export function handOf(domainXml: string): HandMark | null {
  const domain = parseXml(domainXml);
  const element = childInNamespace(at(domain, 'metadata'), HAND_NAMESPACE, 'handed', [domain]);
  const [orderId, group] = [attribute(element, 'order'), attribute(element, 'group')];
  return orderId === undefined || group === undefined ? null : { orderId, group };
}

/** Kinds of domain in the host's capabilities, KVM first. */
export function domainTypesOf(capabilitiesXml: string): string[] {
  const guests = childrenOf(parseXml(capabilitiesXml), 'guest');
  const types = guests.flatMap((guest) => childrenOf(at(guest, 'arch'), 'domain').flatMap((domain) => attribute(domain, 'type') ?? []));
  return [...new Set(types)].sort((a, b) => Number(b === 'kvm') - Number(a === 'kvm'));
}
