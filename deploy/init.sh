#!/bin/bash
# Makes the secrets of a new installation, once: deploy/init.sh HOST-NAME[,HOST-NAME…] NETWORK[,NETWORK…]
# The networks are the address ranges of the company's LAN: 10.20.0.0/16,2001:db8::/32
# Writes .env (read by docker-compose), deploy/secrets/, deploy/files/ (certificates and keytabs: empty) and deploy/front/front-secret.conf; overwrites nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 2 ] || { echo "Usage: deploy/init.sh HOST-NAME[,HOST-NAME…] NETWORK[,NETWORK…]" >&2; exit 2; }
umask 077
mkdir -p deploy/secrets deploy/front deploy/files
secret() {
    head -c 32 /dev/urandom | base64 --wrap=0 | tr '+/' '-_' | tr -d '='
}
for name in database-password front-secret; do
    [ -e "deploy/secrets/$name" ] || secret > "deploy/secrets/$name"
done
[ -e deploy/secrets/nas-password ] || : > deploy/secrets/nas-password  # of the account on the NAS: put it there
# The server's containers run as this user.
chown 10001 deploy/secrets/front-secret deploy/secrets/database-password deploy/secrets/nas-password deploy/files
[ -e deploy/front/front-secret.conf ] ||
    printf 'map $host $front_secret {\n    default "%s";\n}\n' "$(cat deploy/secrets/front-secret)" > deploy/front/front-secret.conf
[ -e .env ] || printf 'OPENVRAS_SECRET_KEY=%s\nOPENVRAS_HOSTS=%s\nOPENVRAS_COMPANY_NETWORKS=%s\n' "$(secret)" "$1" "$2" > .env
echo "Made: .env, deploy/secrets, deploy/front. Next: docs/operating.md"
