/** When the store writer's writes happen, for it and for those who check them. */
import { START_MS } from '../contract/series-store-contract.ts';

export const WRITE_MS = 30_000;

export function timeOf(number: number): number {
  return START_MS + number * WRITE_MS;
}
