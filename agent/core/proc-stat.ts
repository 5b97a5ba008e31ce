/** What /proc/PID/stat tells of a process. Input: its text; output: figures. Pure. (proc_pid_stat(5)) */

/** Clock ticks a second in which /proc tells times: the same on every Linux that programs run on (`getconf CLK_TCK`). */
export const TICKS_PER_SECOND = 100;

/** When it began, clock ticks after boot: field 22, counted behind the bracket of its name, which may hold anything. NaN: no such text. */
export function startTicksIn(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}
