/** Where the guest's first program leaves /proc/meminfo before anything else runs: the one thing it and the workload agree on. */
export const MEMINFO_AT_BOOT = '/run/headroom/meminfo-at-boot';
