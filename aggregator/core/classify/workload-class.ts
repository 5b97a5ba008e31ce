/**
 * What kinds of work VMs do, and what tells them apart. Evidence adds up as log odds (naive Bayes: independent signs multiply
 * odds), each sign with a weight that says how sure it alone would make a person. Plain data.
 */
export const WORKLOAD_CLASSES = ['web', 'database', 'application', 'batch', 'idle', 'desktop'] as const;
export type WorkloadClass = (typeof WORKLOAD_CLASSES)[number];

export function isWorkloadClass(text: string | undefined): text is WorkloadClass {
  return WORKLOAD_CLASSES.some((one) => one === text);
}

export interface Classification {
  /** Null: nothing tells yet. */
  class: WorkloadClass | null;
  /** 0..1: the share of the odds that is this class's; 1 when it was set by hand. */
  confidence: number;
  /** True: an administrator's label says so. */
  setByHand: boolean;
  /** What it rests on, most telling first, for people. */
  reasons: string[];
}

/** A sign for a class: log odds, and words. */
export interface Evidence {
  class: WorkloadClass;
  weight: number;
  words: string;
}

/** Programs by the class that runs them; a process that runs speaks louder than a name. */
const PROGRAMS: readonly (readonly [WorkloadClass, RegExp])[] = [
  ['web', /^(nginx|apache2?|httpd|caddy|haproxy|traefik|varnishd?|envoy|lighttpd|w3wp)/i],
  [
    'database',
    /^(postgres|mysqld|mariadbd|mongod|redis-server|valkey-server|oracle|sqlservr|cassandra|clickhouse|influxd|etcd|memcached)/i,
  ],
  ['application', /^(java|tomcat|node|gunicorn|uwsgi|php-fpm|dotnet|puma|unicorn|beam\.smp|rabbitmq|kafka|celery|python3?)/i],
  ['batch', /^(ffmpeg|cc1|rustc|make|ninja|slurmd?|spark|hadoop|gitlab-runner|rsync|restic|borg|tar|gzip|zstd)/i],
  ['desktop', /^(Xorg|Xwayland|gnome-shell|plasmashell|xfce4|explorer|firefox|chrome|teams|soffice|xrdp|lightdm|gdm)/i],
];
/** Parts of names that people give to VMs. */
const NAMES: readonly (readonly [WorkloadClass, RegExp])[] = [
  ['web', /(^|[-_.\d])(web|www|http|nginx|apache|proxy|lb|front(end)?|cdn)($|[-_.\d])/i],
  ['database', /(^|[-_.\d])(db|sql|mysql|maria(db)?|postgres|pg|mongo|redis|oracle|mssql|cache)($|[-_.\d])/i],
  ['application', /(^|[-_.\d])(app|api|backend|svc|service|java|tomcat|erp|crm|mail)($|[-_.\d])/i],
  ['batch', /(^|[-_.\d])(batch|job|worker|etl|ci|build(er)?|runner|backup|spark|hpc|render)($|[-_.\d])/i],
  ['desktop', /(^|[-_.\d])(vdi|desktop|workstation|win1[01]|rdp|citrix)($|[-_.\d])/i],
];
/** A name is what someone hoped it would do; a program is what it does, in proportion to what it takes. */
const NAME_WEIGHT = 1.5;
const PROGRAM_WEIGHT = 3;
/** A program that takes less than this share of all that is known to be taken says little. */
const PROGRAM_SHARE_MIN = 0.05;

export function nameEvidence(text: string, what: string): Evidence[] {
  return NAMES.flatMap(([one, pattern]) => {
    const found = pattern.exec(text);
    return found ? [{ class: one, weight: NAME_WEIGHT, words: `${what} "${text}"` }] : [];
  });
}

export interface ProcessUse {
  name: string;
  cpuCores: number;
  rssMiB: number;
}

/** The larger of a program's shares of CPU and of memory scales what it says. */
export function processEvidence(processes: readonly ProcessUse[]): Evidence[] {
  const cores = processes.reduce((sum, { cpuCores }) => sum + cpuCores, 0);
  const mebibytes = processes.reduce((sum, { rssMiB }) => sum + rssMiB, 0);
  const evidence: Evidence[] = [];
  for (const { name, cpuCores, rssMiB } of processes) {
    const share = Math.max(cores > 0 ? cpuCores / cores : 0, mebibytes > 0 ? rssMiB / mebibytes : 0);
    const known = PROGRAMS.find(([, pattern]) => pattern.test(name));
    if (!known || share < PROGRAM_SHARE_MIN) continue;
    evidence.push({
      class: known[0],
      weight: PROGRAM_WEIGHT * Math.sqrt(share),
      words: `${name} takes ${Math.round(100 * share)} % of it`,
    });
  }
  return evidence;
}
