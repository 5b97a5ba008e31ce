/** `headroom look`: a first look at this host or one reached by its libvirt URI. Needs no aggregator; writes nothing. */
import { parseArgs } from 'node:util';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import type { OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';

const HELP = `headroom look [OPTIONS]: a first look at one host, read-only: nothing is written anywhere, no aggregator is needed

  --connect URI     libvirt URI (default qemu:///system)
  --sample SECONDS  how long to measure, 1 to 45 (default 10)
  --json            one object on one line
`;

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        connect: { type: 'string' },
        sample: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new HeadroomError('USAGE', `look: ${errorText(error).split('. ')[0]}; "headroom help look" tells how it is used`);
  }
}

export const lookCommand: OwnCommand = {
  kind: 'own',
  name: 'look',
  summary: 'a first look at this host: no aggregator, nothing written',
  async run(argv, io) {
    const { connect, sample, json, help } = parsed(argv);
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
