/** What a long run is: by name in all.ts, run by scripts/soak.ts. */
export interface Soak {
  about: string;
  /** Numbers it takes as options, with their defaults. */
  options: Readonly<Record<string, string>>;
  /** Rejects when something does not hold; the message names what and the seed. */
  run(asked: SoakAsked): Promise<Record<string, unknown>>;
}

export interface SoakAsked {
  seed: number;
  /** By name of the option. */
  numbers: Readonly<Record<string, number>>;
  tell: (progress: string) => void;
}
