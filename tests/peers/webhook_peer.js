'use strict';

// A receiver of webhooks, for the end-to-end tests: checks them by standardwebhooks (npm), which no one here wrote,
// and, where it is given a public key instead, by Node's own Ed25519, as Standard Webhooks says of `v1a`.
//
// Reads one JSON object, {"secret": "whsec_…" | "whpk_…", "headers": {…}, "body": …}; prints {"taken": …} or
// {"refused": …}.

const crypto = require('node:crypto');
const { Webhook } = require('standardwebhooks');

function byPublicKey(secret, headers, body) {
  const raw = Buffer.from(secret.slice('whpk_'.length), 'base64');
  const x = raw.toString('base64url');
  const key = crypto.createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  for (const signature of headers['webhook-signature'].split(' ')) {
    const [version, value] = signature.split(',');
    if (version === 'v1a' && crypto.verify(null, signed, key, Buffer.from(value, 'base64'))) {
      return JSON.parse(body);
    }
  }
  throw new Error('no matching signature');
}

let input = '';
process.stdin.on('data', (chunk) => { input += chunk; });
process.stdin.on('end', () => {
  const { secret, headers, body } = JSON.parse(input);
  try {
    const asymmetric = secret.startsWith('whpk_');
    const taken = asymmetric
      ? byPublicKey(secret, headers, body)
      : new Webhook(secret).verify(body, headers);
    console.log(JSON.stringify({ taken }));
  } catch (why) {
    console.log(JSON.stringify({ refused: why.name }));
  }
});
