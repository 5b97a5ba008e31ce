/** The agent's version, as in package.json (a test compares them); bundled, it has no package.json beside it. */
export const VERSION = '0.1.0';
