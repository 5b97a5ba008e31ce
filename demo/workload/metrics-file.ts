/** Where the workload writes its figures and the guest agent reads them: the one thing the two agree on. */
export const METRICS_FILE = '/run/headroom/app-metrics';
