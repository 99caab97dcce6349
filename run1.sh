cd /tmp/p
for n in python3 sqlite3 perl xz zstd openssl git-log git-diff curl cc1 go convert find tar sort awk pipes gcc make git-hooks memcached redis nginx go-http initdb postgres node node-jit node-http java go-vet go-build go-test; do
 s=$(date +%s); nice -n 5 timeout 1500 e2e0/real_programs /tmp/p/heddle0  20 $n | tail -n +3; echo "   ($n took $(($(date +%s)-s)) s)"
done
echo ALLDONE
