/** Unit conversions, the only place where they are made. Names carry units everywhere: cores, MiB, bytes per second, ms. */
export const KIB_PER_MIB = 1024;
export const BYTES_PER_MIB = 1024 * 1024;
export const NS_PER_MS = 1e6;
export const NS_PER_SECOND = 1e9;
export const US_PER_SECOND = 1e6;
export const US_PER_MS = 1e3;

export const kibToMiB = (kib: number): number => kib / KIB_PER_MIB;
export const miBToKib = (miB: number): number => Math.round(miB * KIB_PER_MIB);
export const bytesToMiB = (bytes: number): number => bytes / BYTES_PER_MIB;

/** CPU weight is normalised so that 100 is the default on cgroup v1 (1024 shares) and v2 (weight 100) alike. */
const SHARES_PER_WEIGHT_V1 = 10.24;
export const weightFromSharesV1 = (shares: number): number => shares / SHARES_PER_WEIGHT_V1;
export const sharesV1FromWeight = (weight: number): number => Math.min(262144, Math.max(2, Math.round(weight * SHARES_PER_WEIGHT_V1)));
