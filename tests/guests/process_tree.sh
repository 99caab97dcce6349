# Pipes, a subshell, background jobs, a child killed by a signal, and command substitution.
ls / | sort -r | head -n 3
echo "lines: $(wc -l < /etc/passwd)"
(exit 3)
echo "subshell: $?"
sleep 9 &
kill -9 $!
wait $!
echo "killed: $?"
sleep 0.02 &
sleep 0.01 &
wait
echo "waited: $?"
exit 5
