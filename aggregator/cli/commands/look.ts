/** `headroom look`: a first look at this host or one reached by its libvirt URI. Needs no aggregator; writes nothing. */
import type { OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { ownArguments } from '../own-arguments.ts';

const HELP = `headroom look [OPTIONS]: a first look at one host, read-only: nothing is written anywhere, no aggregator is needed

  --connect URI     libvirt URI (default qemu:///system)
  --sample SECONDS  how long to measure, 1 to 45 (default 10)
  --json            one object on one line
`;

const OPTIONS = {
  connect: { type: 'string' },
  sample: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

export const lookCommand: OwnCommand = {
  kind: 'own',
  name: 'look',
  summary: 'a first look at this host: no aggregator, nothing written',
  async run(argv, io) {
    const { connect, sample, json, help } = ownArguments('look', argv, OPTIONS);
    if (help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const { runLook } = await import('../look.ts');
    await runLook({
      json,
      out: (line) => io.out(`${line}\n`),
      ...(connect === undefined ? {} : { connect }),
      ...(sample === undefined ? {} : { sampleSeconds: Number(sample) }),
    });
    return EXIT.ok;
  },
};
