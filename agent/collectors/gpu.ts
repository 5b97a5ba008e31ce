/**
 * Use of the GPUs in this machine: AMD's by sysfs (gpu_busy_percent, mem_info_vram_*), NVIDIA's by what nvidia-smi printed
 * last (asked in the background, and only where the driver lists a device). Output: Readings; no data without a GPU.
 */
import { bytesToMiB } from '../../shared/units.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { leadingNumber } from './parse.ts';

const AMD = '0x1002';
export const NVIDIA_SMI = ['nvidia-smi', '--query-gpu=utilization.gpu,memory.used,memory.total', '--format=csv,noheader,nounits'] as const;

interface Device {
  utilisationFraction: number;
  memoryUsedMiB: number;
  memoryTotalMiB: number;
}

/** `askNvidia` runs NVIDIA_SMI; it rejects when that fails. */
export function createGpu(files: KernelFiles, askNvidia: () => Promise<string>): Collector {
  let nvidia: Device[] = [];
  let failure = '';
  let asking = false;
  const ask = (): void => {
    if (asking) return;
    asking = true;
    askNvidia().then(
      (text) => {
        nvidia = parseNvidia(text);
        failure = '';
        asking = false;
      },
      (error: unknown) => {
        nvidia = [];
        failure = error instanceof Error ? error.message : String(error);
        asking = false;
      },
    );
  };
  return {
    name: 'gpu',
    fields: ['vm_gpu.devices', 'vm_gpu.utilisationFraction', 'vm_gpu.memoryUsedMiB', 'vm_gpu.memoryTotalMiB'],
    required: ['vm_gpu.devices'],
    update() {
      const hasNvidia = (files.list('proc/driver/nvidia/gpus') ?? []).length > 0;
      if (hasNvidia) ask();
      const devices = [...amdDevices(files), ...(hasNvidia ? nvidia : [])];
      if (devices.length === 0 && failure !== '') throw new Error(`nvidia-smi: ${failure}`);
      if (devices.length === 0) return noData(hasNvidia ? 'nvidia-smi has not answered yet' : 'no GPU that tells its use');
      const sum = (pick: (device: Device) => number): number => devices.reduce((total, device) => total + pick(device), 0);
      return reading({
        'vm_gpu.devices': devices.length,
        'vm_gpu.utilisationFraction': sum(({ utilisationFraction }) => utilisationFraction) / devices.length,
        'vm_gpu.memoryUsedMiB': sum(({ memoryUsedMiB }) => memoryUsedMiB),
        'vm_gpu.memoryTotalMiB': sum(({ memoryTotalMiB }) => memoryTotalMiB),
      });
    },
  };
}

function amdDevices(files: KernelFiles): Device[] {
  const cards = (files.list('sys/class/drm') ?? []).filter((name) => /^card\d+$/.test(name));
  return cards.flatMap((card) => {
    const device = `sys/class/drm/${card}/device`;
    const number = (name: string): number => leadingNumber(files.readBytes(`${device}/${name}`)?.toString('latin1') ?? '');
    if (files.readBytes(`${device}/vendor`)?.toString('latin1').trim() !== AMD) return [];
    const busy = number('gpu_busy_percent');
    // Display-only and virtual functions have no such file.
    if (Number.isNaN(busy)) return [];
    const [used, total] = [number('mem_info_vram_used'), number('mem_info_vram_total')];
    return [{ utilisationFraction: busy / 100, memoryUsedMiB: bytesToMiB(used), memoryTotalMiB: bytesToMiB(total) }];
  });
}

/** `12, 3021, 15360` a device; `[N/A]` where a device does not tell. Memory is MiB already. */
function parseNvidia(text: string): Device[] {
  return text
    .split('\n')
    .filter((line) => line.includes(','))
    .map((line) => {
      const [busy = Number.NaN, memoryUsedMiB = Number.NaN, memoryTotalMiB = Number.NaN] = line
        .split(',')
        .map((part) => leadingNumber(part));
      return { utilisationFraction: busy / 100, memoryUsedMiB, memoryTotalMiB };
    });
}
