/** What a VM rests from, of its settings and of its vCPUs, as one text over restarts. Text of another build costs the VM its rests alone. */
import type { Setting } from '../../../shared/resources.ts';
import type { KeptRests } from './kept-rests.ts';
import type { VmRecord } from './vm-record.ts';

const VERSION = 1;

export interface KeptVmRests {
  version: typeof VERSION;
  settings: KeptRests;
  vcpus: KeptRests;
}

type Resting = Pick<VmRecord, 'verdicts' | 'vcpus' | 'inventory'>;

export function keptVmRests({ verdicts, vcpus }: Pick<Resting, 'verdicts' | 'vcpus'>): KeptVmRests {
  return { version: VERSION, settings: verdicts.kept(), vcpus: vcpus.kept() };
}

/** False: it is no text of ours. */
export function bringVmRests({ verdicts, vcpus, inventory }: Resting, text: string, nowMs: number): boolean {
  const kept = parsed(text);
  if (kept?.version !== VERSION) return false;
  verdicts.bring(kept.settings, kept.writtenMs, nowMs, (setting) => mayHaveHeld(setting, inventory));
  vcpus.bring(kept.vcpus, kept.writtenMs, nowMs, inventory.vcpus);
  return true;
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Nothing in it can hold any more; or it is no text of ours. */
export function areRestsOver(text: string, nowMs: number, restMsMax: number): boolean {
  const writtenMs = parsed(text)?.writtenMs;
  return typeof writtenMs !== 'number' || !(Math.abs(nowMs - writtenMs) <= restMsMax);
}

/** No VM ran on more cores, or held more memory, than it has, or had before us. */
function mayHaveHeld(setting: Setting, { vcpus, bootMemoryMiB, baseline, current }: VmRecord['inventory']): boolean {
  if (setting.resource === 'cpu') return setting.capCores === null || setting.capCores <= vcpus;
  if (setting.resource !== 'memory') return true;
  const sizes = [...baseline, ...current].flatMap((each) => (each.resource === 'memory' ? [each.memoryMiB] : []));
  return setting.memoryMiB <= Math.max(bootMemoryMiB, ...sizes);
}
