{{/* The pod of `helm test`. Not selected by the Service: its component is another. */}}
{{- define "service.smokeTest.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: smoke
{{- end -}}

{{- define "service.smokeTest" -}}
{{- $t := .Values.smokeTest -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "service.fullname" . }}-smoke
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.smokeTest.selector" . | nindent 4 }}
    {{- include "service.commonLabels" . | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  restartPolicy: Never
  # Meshes and controllers may hold the first connections back for a moment; a test that hangs must end.
  activeDeadlineSeconds: 120
  serviceAccountName: {{ include "service.serviceAccountName" . | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    {{- include "service.podSecurity" . | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- if or .Values.architecture .Values.nodeSelector }}
  nodeSelector:
    {{- with .Values.architecture }}
    kubernetes.io/arch: {{ . }}
    {{- end }}
    {{- with .Values.nodeSelector }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: loadgen
      image: {{ include "service.image" (list . $t.repository (default (include "service.imageTag" .) $t.tag) $t.digest) | quote }}
      imagePullPolicy: {{ include "service.pullPolicy" . }}
      command: [/loadgen]
      args:
        - smoke
        - --allow-remote
        - --target
        - http://{{ include "service.fullname" . }}:80
        - --service
        - {{ .Chart.Name }}
        - --team
        - {{ include "service.teamId" . | quote }}
        - --account
        - {{ include "service.awsAccountId" . | quote }}
        {{- if $t.handMadeTable }}
        - --twitter-tiny
        {{- end }}
      securityContext:
        {{- include "service.containerSecurity" . | nindent 8 }}
      resources:
        requests:
          cpu: 50m
          memory: 32Mi
        limits:
          memory: 64Mi
{{- end -}}
