/**
 * What the host agent knows of a guest's vCPUs that it had taken offline, and when they come back without anybody asking: pure
 * decisions on what the host itself sees. How many are online is the guest's word; it is held against the use the host measures,
 * and no sum of the host rests on it.
 */

/** Of one VM; replaced as a whole when it changes. */
export interface VcpuHold {
  /** Its guest agent can put back what it took down. */
  able: boolean;
  /** Online by the guest's answer to our order; null = all it has, as far as we changed anything. */
  online: number | null;
  /** Told to bring all back, and not answered yet: until then their number is not known. */
  restoring: string | null;
}

export const NO_HOLD: VcpuHold = { able: false, online: null, restoring: null };

export interface VcpuUse {
  usageCores: number;
  /** Of all its vCPUs together: cores they had work for and did not get, from a cap or from a busy host; NaN = not known. */
  waitingCores: number;
  /** Over all vCPUs of the definition, null = none. */
  capCores: number | null;
  /** Of the definition. */
  vcpus: number;
  /** Online by the guest's word. */
  online: number;
}

/** This close to all that its vCPUs can run: what it wants is not seen any more. */
const SATURATED_SHARE = 0.9;
/** More than this beyond what its vCPUs can run: rates of one look are off by a few per cent. */
const BEYOND_SHARE = 1.25;
const BEYOND_CORES = 0.25;

/** A cap is a quota of each vCPU: those that are offline leave theirs unused. */
function runnableCores({ capCores, vcpus, online }: Pick<VcpuUse, 'capCores' | 'vcpus' | 'online'>): number {
  return capCores === null ? online : Math.min(online, (capCores * online) / vcpus);
}

/** Null: it has enough, and does as it says. Unknown use says nothing. */
export function outgrown(use: VcpuUse): 'saturated' | 'beyond' | null {
  const most = runnableCores(use);
  if (use.usageCores > Math.max(BEYOND_SHARE * most, most + BEYOND_CORES)) return 'beyond';
  // On a busy host even a vCPU that always has work gets little: what it waits for tells.
  const wanted = use.usageCores + (Number.isNaN(use.waitingCores) ? 0 : use.waitingCores);
  return use.usageCores >= SATURATED_SHARE * most || wanted >= SATURATED_SHARE * use.online ? 'saturated' : null;
}
