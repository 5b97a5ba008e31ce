/** The first look as text for people. A report in, lines out; nothing is decided here. */
import type { LookHost, LookReport, LookVm, SetBy } from './core/look-report.ts';

const WHO: Record<SetBy, string> = {
  definition: 'as its definition says',
  headroom: 'set live by Headroom',
  'someone live': 'set live by someone: it differs from the definition',
  unknown: 'who set it is unknown',
};

export function lookText(report: LookReport): string {
  const lines = hostLines(report);
  if (report.vms.length > 0) lines.push('', ...tableLines(report.vms));
  for (const vm of report.vms) lines.push('', ...vmLines(vm));
  if (report.notRunning.length > 0) {
    lines.push('', `Not running: ${report.notRunning.map(({ name, power }) => `${name} (${power})`).join(', ')}`);
  }
  for (const problem of report.problems) lines.push('', `Could not be looked at: ${problem}`);
  lines.push('', 'Nothing was written.');
  return lines.join('\n');
}

const number = (value: number | null, digits = 0): string => (value === null ? '?' : value.toFixed(digits));
const fraction = (value: number | null): string => (value === null ? '?' : `${(value * 100).toFixed(0)} %`);

function hostLines({ host, vms, sampleSeconds }: LookReport): string[] {
  return [
    `${host.name}: ${host.cpuCores} CPUs, ${number(host.memoryMiB)} MiB; ${host.hypervisorVersion}; ${vms.length} running VM${vms.length === 1 ? '' : 's'}; sampled ${sampleSeconds} s`,
    `  in use: ${number(host.usedCores, 2)} cores; available memory ${number(host.availableMiB)} MiB; swap used ${number(host.swapUsedMiB)} MiB`,
    `  given to VMs: ${number(host.allowedCores, 1)} cores (${ratio(host.allowedCores, host.cpuCores)}), ${number(host.givenMiB)} MiB (${ratio(host.givenMiB, host.memoryMiB)})`,
    ...pressureOf(host).map((line) => `  ${line}`),
  ];
}

const ratio = (part: number, whole: number): string => (whole > 0 ? `${(part / whole).toFixed(2)} of what there is` : '?');

function pressureOf(host: LookHost): string[] {
  const lines = host.pressure.map((words) => `pressure: ${words}`);
  return host.balloonManager === null ? lines : [...lines, `${host.balloonManager} manages balloons here: memory is left to it`];
}

function tableLines(vms: readonly LookVm[]): string[] {
  const header = ['VM', 'CPU used', 'of cores', '', 'memory used', 'given', 'boot MiB', '', 'may be managed'];
  const rows = vms.map(({ name, cpu, memory, eligibility }) => [
    name,
    number(cpu.usedCores, 2),
    number(cpu.allowedCores, 2),
    fraction(cpu.usedFraction),
    number(memory.usedMiB),
    number(memory.givenMiB),
    number(memory.bootMiB),
    fraction(memory.usedFraction),
    Object.entries(eligibility)
      .filter(([, verdict]) => verdict.allowed)
      .map(([resource]) => resource)
      .join(' ') || 'nothing',
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  return [header, ...rows].map((row) =>
    row
      .map((cell, column) =>
        column === 0 || column === row.length - 1 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

function vmLines(vm: LookVm): string[] {
  const lines = [`${vm.name} (${vm.power}, ${vm.vm})${vm.growOnly ? ', cluster class: only ever raised' : ''}`];
  for (const { resource, words, setBy } of vm.limits) {
    const verdict = vm.eligibility[resource];
    lines.push(`  ${resource.padEnd(8)} ${words}, ${WHO[setBy]}; ${verdict.allowed ? 'may be managed' : `never: ${verdict.reason}`}`);
  }
  for (const words of vm.pressure) lines.push(`  pressure ${words}`);
  for (const words of vm.missingSignals) lines.push(`  missing  ${words}`);
  return lines;
}
