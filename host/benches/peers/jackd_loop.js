// Takes jobs by jackd, for ever: arguments are host, port and tube. NODE_PATH says where jackd is.

const Jackd = require('jackd')

const [host, port, tube] = process.argv.slice(2)

async function consume() {
  const client = new Jackd()
  await client.connect({ host, port: Number(port) })
  await client.watch(tube)
  await client.ignore('default')
  for (;;) {
    const { id, payload } = await client.reserve()
    JSON.parse(payload.toString())
    await client.delete(id)
  }
}

consume()
