/** One guest of the demo as libvirt's domain XML. Input: what it is; output: the definition. Pure. */
import { LABELS_NAMESPACE } from '../../agent/hypervisor/libvirt/domain-metadata.ts';
import { xmlText } from '../../agent/hypervisor/libvirt/xml-text.ts';
import { KIB_PER_MIB } from '../../shared/units.ts';

export interface GuestDefinition {
  name: string;
  uuid: string;
  role: string;
  /** kvm, or qemu for emulation. */
  domainType: 'kvm' | 'qemu';
  memoryMiB: number;
  kernel: string;
  initrd: string;
  disk: string;
  consoleLog: string;
  /** When the load's first day begins, ms since 1970. */
  firstDayMs: number;
  /** Administrator's labels. */
  labels: Record<string, string>;
}

/** Marks a domain as made by a demo run, so that only those are ever cleaned up. */
export const DEMO_NAMESPACE = 'https://headroom.dev/xmlns/demo/1';
/** The channel the guest's agent speaks through. */
export const AGENT_CHANNEL = 'org.headroom.agent.0';
/** Balloon statistics are refreshed this often, seconds: each plan of the demo (5 s) sees new ones. */
const STATS_PERIOD_SECONDS = 1;
/**
 * Caps of these guests count over a second (the longest there is), not the usual tenth: an emulated guest does its
 * housekeeping in pieces of up to 300 ms, and a cap just above its mean use would throttle it all the time over nothing.
 */
const CAP_PERIOD_US = 1_000_000;

export function domainXml(guest: GuestDefinition): string {
  const memoryKiB = guest.memoryMiB * KIB_PER_MIB;
  // psi=1: Debian's kernels leave pressure accounting off. Huge pages raise the kernel's own reserve by 60 MiB in a guest
  // this small, which would look like demand.
  const commandLine = `console=ttyS0 quiet loglevel=3 panic=5 psi=1 transparent_hugepage=never headroom.role=${guest.role} headroom.memory=${guest.memoryMiB} headroom.first-day=${guest.firstDayMs}`;
  const labels = Object.entries(guest.labels)
    .map(([key, value]) => `<headroom:label name="${xmlText(key)}" value="${xmlText(value)}"/>`)
    .join('');
  return `<domain type="${guest.domainType}">
  <name>${xmlText(guest.name)}</name>
  <uuid>${guest.uuid}</uuid>
  <metadata>
    <demo:run xmlns:demo="${DEMO_NAMESPACE}" role="${xmlText(guest.role)}"/>
    <headroom:labels xmlns:headroom="${LABELS_NAMESPACE}">${labels}</headroom:labels>
  </metadata>
  <memory unit="KiB">${memoryKiB}</memory>
  <currentMemory unit="KiB">${memoryKiB}</currentMemory>
  <vcpu>1</vcpu>
  <cputune><period>${CAP_PERIOD_US}</period></cputune>
  <os>
    <type arch="x86_64" machine="pc">hvm</type>
    <kernel>${xmlText(guest.kernel)}</kernel>
    <initrd>${xmlText(guest.initrd)}</initrd>
    <cmdline>${xmlText(commandLine)}</cmdline>
  </os>
  <features><acpi/></features>
  ${guest.domainType === 'kvm' ? '<cpu mode="host-passthrough"/>' : ''}
  <clock offset="utc"/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="${xmlText(guest.disk)}"/>
      <target dev="vda" bus="virtio"/>
      <readonly/>
      <shareable/>
    </disk>
    <interface type="user"><model type="virtio"/></interface>
    <channel type="unix"><target type="virtio" name="${AGENT_CHANNEL}"/></channel>
    <serial type="file"><source path="${xmlText(guest.consoleLog)}"/></serial>
    <memballoon model="virtio"><stats period="${STATS_PERIOD_SECONDS}"/></memballoon>
  </devices>
</domain>
`;
}
