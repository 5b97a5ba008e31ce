/** The version of the program that runs: of the package it lies in. Input: none; output: the version, `unknown` where there is no package. */
import { existsSync, readFileSync } from 'node:fs';

/** From the sources and from the bundled aggregator; from the bundled command line, which lies one folder deeper. */
const PLACES = ['../package.json', '../../package.json'];

export function packageVersion(): string {
  const file = PLACES.map((place) => new URL(place, import.meta.url)).find((each) => existsSync(each));
  return file === undefined ? 'unknown' : (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
